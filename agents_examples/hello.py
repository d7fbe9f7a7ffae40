"""Hello: one agent, one typed question, one typed answer. No hub to start, no account."""

from agentbus import AgentActor, Bus, Message, handles


class Greet(Message):
    name: str


class Greeting(Message):
    text: str


class Greeter(AgentActor):
    @handles
    def greet(self, request: Greet) -> Greeting:
        return Greeting(text=f"Hello, {request.name}!")


def main() -> None:
    with Bus() as bus:
        greeter = bus.spawn(Greeter, name="greeter")
        print(greeter.ask(Greet(name="world")).get(timeout=5).text)


if __name__ == "__main__":
    main()
