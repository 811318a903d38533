#if CurlSupport
import HTTPTypes
import Testing
import TokenBroker

@testable import CurlTransport

/// Tests for reading everything that a server may send, without a server.
@Suite struct ResponseReaderTests {
    private func read(
        _ lines: [String], body: [[UInt8]] = [], method: HTTPRequest.Method = .get, maximumBytes: Int = 100
    ) -> Result<TransportResponse, TransportError> {
        var reader = ResponseReader(method: method, maximumBytes: maximumBytes)
        let names = FieldNames()
        for line in lines {
            let goesOn = Array("\(line)\r\n".utf8).withUnsafeBytes { reader.readLine($0, names) }
            if !goesOn, let refusal = reader.refusal { return .failure(refusal) }
        }
        for piece in body {
            let goesOn = piece.withUnsafeBytes { reader.readBody($0) }
            if !goesOn, let refusal = reader.refusal { return .failure(refusal) }
        }
        return reader.response(elapsed: .zero)
    }

    private func code(_ result: Result<TransportResponse, TransportError>) -> TransportError.Code? {
        if case .failure(let error) = result { error.code } else { nil }
    }

    @Test func `status lines are parsed strictly`() throws {
        for (line, status) in [
            ("HTTP/1.1 200 OK", 200), ("HTTP/1.1 200", 200), ("HTTP/2 404 ", 404), ("HTTP/1.0 999 x", 999),
        ] {
            #expect(try read([line, ""]).get().status.code == status)
        }
        for line in [
            "HTTP/1.1 20", "HTTP/1.1 2000 x", "HTTP/1.1 2x0 OK", "HTTP/1.1 099 x", "HTTP/1.1", "", "SMTP ready",
            "HTTP/1.1 \u{665}00 x", "HTTP/1.1 -20 x",
        ] {
            #expect(code(read([line, ""])) == .malformed, "\(line)")
        }
        #expect(code(read(["HTTP/1.1 200 OK", "A: b"])) == .malformed, "the head never ended")
    }

    @Test func `header fields are trimmed and kept in order`() throws {
        let response = try read([
            "HTTP/1.1 200 OK", "Set-Cookie: a=1", "x-Empty:", "X-Space: \t inner  space \t", "set-cookie:b=2",
            "no colon", ": no name",
            "bad name: x", "HTTP/9: a field like any other", "",
        ]).get()
        #expect(
            response.headerFields.map { "\($0.name.rawName)=\($0.value)" } == [
                "Set-Cookie=a=1", "x-Empty=", "X-Space=inner  space", "set-cookie=b=2",
            ]
        )
        #expect(response.headerFields[values: .setCookie] == ["a=1", "b=2"])
    }

    @Test func `a response head of any size does no harm`() {
        // HTTPFields traps at 65,535 fields.
        let fields = [String](repeating: "a:", count: 70_000)
        #expect(code(read(["HTTP/1.1 200 OK"] + fields + [""])) == .tooLarge)
        let long = "a: \(String(repeating: "x", count: 300_000))"
        #expect(code(read(["HTTP/1.1 200 OK", long, ""])) == .tooLarge)
        let endless = [String](repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 20_000)
        #expect(code(read(endless.flatMap { [$0, ""] })) != nil)
    }

    @Test func `an announced body that is too large is refused before it arrives`() throws {
        let head = ["HTTP/1.1 200 OK", "Content-Length: 101", ""]
        #expect(code(read(head)) == .tooLarge)
        #expect(try read(head, method: .head).get().status == .ok)
        #expect(try read(["HTTP/1.1 304 Not Modified", "Content-Length: 101", ""]).get().status == .notModified)
        let informational = ["HTTP/1.1 103 Early Hints", "Content-Length: 101", ""]
        #expect(try read(informational + ["HTTP/1.1 200 OK", ""]).get().headerFields.isEmpty)
        for nonsense in ["-1", "99999999999999999999999", "1 2", "", "0x10"] {
            #expect(try read(["HTTP/1.1 200 OK", "Content-Length: \(nonsense)", ""]).get().status == .ok)
        }
    }

    @Test func `libcurl's size limit counts the bytes received`() throws {
        let head = ["HTTP/1.1 200 OK", ""]
        let piece = [UInt8](repeating: 1, count: 50)
        #expect(try read(head, body: [piece, piece]).get().body.count == 100)
        #expect(code(read(head, body: [piece, piece, [1]])) == .tooLarge)
    }
}
#endif
