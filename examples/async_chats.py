"""Several chats at once in an asyncio program: run it with OPENAI_BASE_URL or a key set."""

import asyncio

from luaopenai import AsyncOpenAI

COUNTRIES = ("France", "Spain", "Italy")


async def capital(client: AsyncOpenAI, country: str) -> str:
    chat = client.new_chat_session(temperature=0)
    return str(await chat.send(f"What is the capital of {country}? Answer in one sentence."))


async def main() -> None:
    """Ask three questions together, then stream an answer."""
    async with AsyncOpenAI() as client:
        for answer in await asyncio.gather(*(capital(client, name) for name in COUNTRIES)):
            print(answer)
        question = {"role": "user", "content": "Say something short about rivers."}
        async for chunk in client.chat([question], max_tokens=40):
            print(chunk["content"], end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main())
