"""A client of the broker for the scripts that put load on it. Standard library only."""

import asyncio
import json

PATH = "/api/checkout-token"


def session(invoice, **members):
    """The body of a request for a token."""
    return json.dumps({"customerId": "cus_demo", "invoiceId": invoice, **members}).encode()


def head(address, method, path, fields=()):
    """The head of a request, from the names and values of its header fields. `Host` is among them unless they have it."""
    fields = {"Host": address, **dict(fields)}
    return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"]).encode()


async def connect(address, **options):
    """Opens a connection to HOST:PORT."""
    host, port = address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port), **options)


async def answer(reader):
    """Reads one response: its status, its header fields in lower case and its body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return int(lines[0].split(" ")[1]), fields, body


async def close(writer):
    """Closes a connection, whatever has become of it."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def exchange(address, method, path, body=b"", fields=(), timeout=60):
    """Sends one request on a connection of its own and reads the response."""
    async with asyncio.timeout(timeout):
        reader, writer = await connect(address)
        try:
            if body:
                fields = {"Content-Length": len(body), **dict(fields)}
            writer.write(head(address, method, path, {"Connection": "close", **dict(fields)}) + body)
            return await answer(reader)
        finally:
            await close(writer)
