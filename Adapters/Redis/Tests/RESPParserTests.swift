#if RedisSupport
import NIOCore
import Testing

@testable import TokenBrokerRedis

@Suite struct `The parser of RESP2` {
    private func replies(_ text: String, cutAt cuts: [Int] = []) throws -> [RESPValue] {
        var parser = RESPParser()
        var found: [RESPValue] = []
        let bytes = Array(text.utf8)
        var start = 0
        for end in cuts + [bytes.count] {
            var piece = ByteBuffer(bytes: bytes[start..<end])
            parser.append(&piece)
            start = end
            while let reply = try parser.next() { found.append(reply) }
        }
        return found
    }

    @Test(arguments: [
        ("+OK\r\n", RESPValue.text("OK")), ("-NOSCRIPT No matching script.\r\n", .error("NOSCRIPT")),
        ("-lower case\r\n", .error("ERR")), (":-1\r\n", .integer(-1)), ("$-1\r\n", .null), ("*-1\r\n", .null),
        ("$0\r\n\r\n", .bytes([])), ("$2\r\n\r\n\r\n", .bytes([13, 10])), ("*0\r\n", .array([])),
        ("*2\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n", .array([.integer(1), .array([.text("a"), .bytes([98])])])),
    ])
    func `a reply is read however its bytes are divided`(_ text: String, _ expected: RESPValue) throws {
        let twice = text + text
        #expect(try replies(twice) == [expected, expected])
        for cut in 0...twice.utf8.count { #expect(try replies(twice, cutAt: [cut]) == [expected, expected]) }
        #expect(try replies(twice, cutAt: Array(0..<twice.utf8.count)) == [expected, expected])
    }

    @Test(arguments: [
        "OK\r\n", "\r\n", "+OK\n", "$1\r\nab\r\n", "$-2\r\n", "*-2\r\n", "$x\r\n", ":\r\n", ":1 \r\n",
        "$99999999999\r\n",
        "*5000\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "%1\r\n+a\r\n+b\r\n", "HTTP/1.1 400 Bad Request\r\n",
    ])
    func `a reply that is malformed or too large is refused`(_ text: String) {
        #expect(throws: RESPParser.Malformed.self) { try replies(text) }
    }

    @Test func `a line without an end is refused`() {
        #expect(throws: RESPParser.Malformed.self) { try replies("+" + String(repeating: "a", count: 5000)) }
    }

    @Test func `a reply of many large parts is refused`() {
        let part = "$1000000\r\n" + String(repeating: "a", count: 1_000_000) + "\r\n"
        #expect(throws: RESPParser.Malformed.self) { try replies("*5\r\n" + String(repeating: part, count: 5)) }
    }

    @Test func `no input crashes the parser`() {
        var generator = SystemRandomNumberGenerator()
        let pieces = ["*", "$", "+", "-", ":", "\r\n", "\r", "\n", "0", "1", "2", "-1", "abc", "9999999999999999999"]
        for _ in 0..<5_000 {
            let text = (0..<Int.random(in: 1...20)).map { _ in pieces.randomElement(using: &generator) ?? "" }.joined()
            _ = try? replies(text, cutAt: [text.utf8.count / 2])
        }
    }
}
#endif
