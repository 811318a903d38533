import HTTPTypes
import Testing
import TokenBroker

extension HTTPTransportContract {
    /// The cases about responses.
    static let responses: [Case] = [
        Case(testDescription: "repeated header fields keep their order", needs: []) { fixture in
            var head = HTTPResponse(status: .ok)
            for value in ["a=1", "b=2", "a=3"] {
                head.headerFields.append(HTTPField(name: .setCookie, value: value))
            }
            try await send(fixture, .responds(head, body: bytes(3), framing: .length)) { outcome in
                try expect(outcome.get().headerFields[values: .setCookie], ["a=1", "b=2", "a=3"], "Set-Cookie")
            }
        },
        Case(testDescription: "an empty body", needs: []) { fixture in
            for framing in [Framing.length, .chunked] {
                try await send(fixture, .responds(.init(status: .ok), body: [], framing: framing)) { outcome in
                    try expect(outcome.get().body, [], "the body")
                }
            }
        },
        Case(testDescription: "204 has no body", needs: []) { fixture in
            try await send(fixture, .responds(.init(status: .noContent), body: [], framing: .length)) { outcome in
                try expect(outcome.get().status, .noContent, "the status")
                try expect(outcome.get().body, [], "the body")
            }
        },
        Case(testDescription: "every status is a response", needs: []) { fixture in
            for code in [200, 201, 400, 401, 403, 404, 422, 429, 500, 502, 503, 599] {
                let head = HTTPResponse(status: .init(code: code))
                try await send(fixture, .responds(head, body: bytes(5), framing: .length)) { outcome in
                    try expect(outcome.get().status.code, code, "the status")
                    try expect(outcome.get().body, bytes(5), "the body of \(code)")
                }
            }
        },
        Case(testDescription: "a redirect is returned, not followed", needs: []) { fixture in
            for code in [301, 302, 303, 307, 308] {
                let head = HTTPResponse(
                    status: .init(code: code), headerFields: [.location: "http://127.0.0.1:1/elsewhere"])
                try await send(fixture, .responds(head, body: [], framing: .length)) { outcome in
                    try expect(outcome.get().status.code, code, "the status")
                }
            }
        },
        Case(testDescription: "only https is sent, and http to a loopback host", needs: []) { fixture in
            try await fixture.withServer(.neverAnswers) { transport, _, _ in
                // These names cannot exist (RFC 6761), in case a transport looks them up anyway.
                for (scheme, authority) in [
                    ("http", "shop.invalid"), ("http", "127.0.0.1.invalid"), ("http", "localhost.invalid"),
                    ("ftp", "127.0.0.1"), ("file", "localhost"),
                ] {
                    let result = try await ended("\(scheme)://\(authority) to be refused") {
                        await outcome(transport, .get, scheme, authority, TransportOptions(timeout: .seconds(2)))
                    }
                    expectFailure(result, .refusedScheme, "\(scheme)://\(authority)")
                }
            }
        },
    ]

    static let failures: [Case] = [
        fails("a request that is closed unanswered", needs: .interruptions, .closesUnanswered, with: .closed),
        fails("a body that ends early", needs: .interruptions, .closesMidBody, with: .closed),
        fails("a malformed status line", needs: .interruptions, .isNotHTTP, with: .malformed),
        fails("a refused connection", needs: .refusals, .refusesConnections, with: .connect),
        fails("a name without an address", needs: .resolution, .hasNoAddress, with: .resolve),
        fails("an untrusted certificate", needs: .tls, .presents(.untrusted), with: .trust),
        fails("an expired certificate", needs: .tls, .presents(.expired), with: .trust),
        fails("a certificate for another host", needs: .tls, .presents(.forAnotherHost), with: .trust),
        Case(testDescription: "a trusted certificate", needs: .tls) { fixture in
            try await send(fixture, .presents(.trusted)) { try expect($0.get().status, .ok, "the status") }
        },
    ]

    static let ceilings = [
        (9, 10), (10, 10), (11, 10), (0, 0), (1, 0), (200_000, 200_000), (200_001, 200_000),
    ].flatMap { size, ceiling in [Framing.length, .chunked].map { body(of: size, ceiling: ceiling, framing: $0) } }

    static func body(of size: Int, ceiling: Int, framing: Framing) -> Case {
        Case(testDescription: "a body of \(size) bytes under a ceiling of \(ceiling), \(framing)", needs: []) {
            fixture in
            let options = TransportOptions(timeout: .seconds(10), maximumResponseBytes: ceiling)
            let server = Server.responds(HTTPResponse(status: .ok), body: bytes(size), framing: framing)
            try await send(fixture, server, options: options) { outcome in
                if size <= ceiling {
                    try expect(outcome.get().body, bytes(size), "the body")
                } else {
                    expectFailure(outcome, .tooLarge)
                }
            }
        }
    }

    static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }
}
