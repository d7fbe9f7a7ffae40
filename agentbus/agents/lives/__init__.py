"""Lives of agents beyond a failure: stalls, stored state, processes of their own.

Each is a layer around an agent's behaviour, put there only for agents that ask for it.
"""
