"""Streams: chunks of a reply, and chunks that follow a request, with credit, here and between nodes.

    consumer                                                      producer
    AgentStream ─ Inlet ◄── chunks ── FlowAsk ◄═ link ═ ChunkSender ◄── Outlet ◄─ pump ◄─ the handler
                    └────── grants ──► StreamDesk ═════► StreamDesk ──────► Outlet

On one node the inlet and the outlet meet directly. An attachment is the same with the ends exchanged: a
source feeds an outlet where the request was made, and the handler reads an `Attachment`. The end of a stream
is the answer to its request: whatever settles that, settles the stream.
"""
