import HTTPTypes
import Synchronization
import Testing
import TokenBroker

extension HTTPTransportContract {
    /// The cases about the request that arrives.
    static let requests: [Case] = [
        Case(testDescription: "method, target, fields and body arrive as they were passed", needs: []) { fixture in
            let arrived = Arrivals()
            try await fixture.withServer(.handles(arrived.answering())) { transport, scheme, authority in
                for (method, size) in [
                    (HTTPRequest.Method.get, 0), (.post, 3), (.post, 100_000), (.put, 1), (.patch, 7), (.delete, 0),
                    (.post, 0), (.options, 0),
                ] {
                    var request = HTTPRequest(
                        method: method, scheme: scheme, authority: authority, path: "/a%20b/c?x=1&y=%2F&z")
                    request.headerFields[.authorization] = "Bearer token"
                    for value in ["a=1", "b, c", "a=1"] {
                        request.headerFields.append(HTTPField(name: repeated, value: value))
                    }
                    let response = try await transport.send(request, body: bytes(size), options: Self.timeout)
                    expect(response.status, .ok, "\(method)")
                    let all = arrived.take()
                    expect(all.count, 1, "\(method): requests that arrived for one call")
                    guard let (head, body) = all.first else { return }
                    expect(head.method, method, "the method")
                    expect(head.path, "/a%20b/c?x=1&y=%2F&z", "the target of \(method)")
                    expect(head.authority, authority, "the host of \(method)")
                    expect(head.headerFields[.authorization], "Bearer token", "a field of \(method)")
                    expect(
                        head.headerFields[values: repeated].joined(separator: ", "), "a=1, b, c, a=1",
                        "a repeated field of \(method)")
                    expect(body, bytes(size), "the body of \(method)")
                }
            }
        },
        Case(testDescription: "a request that was answered is not sent again", needs: []) { fixture in
            for code in [429, 500, 502, 503, 504] {
                let arrived = Arrivals()
                try await fixture.withServer(.handles(arrived.answering(code))) { transport, scheme, authority in
                    _ = await outcome(transport, .post, scheme, authority, Self.timeout)
                    expect(arrived.take().count, 1, "requests that arrived for one call answered with \(code)")
                }
            }
        },
        Case(testDescription: "a request that a new connection lost is not sent again", needs: .interruptions) {
            fixture in
            let arrived = Arrivals()
            let close = MisbehavingIssuer.Reaction(delay: .zero, step: .close)
            try await fixture.withServer(.handles(arrived.reacting(close))) { transport, scheme, authority in
                expectFailure(await outcome(transport, .post, scheme, authority, Self.timeout), .closed)
                expect(arrived.take().count, 1, "requests that arrived for one call on a new connection")
            }
        },
    ]

    /// A record of the requests that arrived.
    final class Arrivals: Sendable {
        private let requests = Mutex<[(HTTPRequest, [UInt8])]>([])

        func take() -> [(HTTPRequest, [UInt8])] {
            requests.withLock { requests in
                defer { requests = [] }
                return requests
            }
        }

        func answering(_ code: Int = 200) -> @Sendable (HTTPRequest, [UInt8]) -> MisbehavingIssuer.Reaction {
            let head = HTTPResponse(status: .init(code: code))
            return reacting(MisbehavingIssuer.Reaction(delay: .zero, step: .respond(head, [1])))
        }

        func reacting(
            _ reaction: MisbehavingIssuer.Reaction
        ) -> @Sendable (HTTPRequest, [UInt8]) -> MisbehavingIssuer.Reaction {
            { request, body in
                self.requests.withLock { $0.append((request, body)) }
                return reaction
            }
        }
    }
}
