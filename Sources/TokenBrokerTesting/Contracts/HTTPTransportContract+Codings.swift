import FoundationEssentials
import HTTPTypes
import Testing
import TokenBroker

extension HTTPTransportContract {
    /// The cases about content codings.
    static let codings: [Case] =
        [
            decodes("gzip", ["gzip"], gzip), decodes("gzip by its old name", ["x-gzip"], gzip),
            decodes("gzip in upper case", ["GZIP"], gzip), decodes("gzip of several members", ["gzip"], gzipMembers),
            decodes("gzip with a name, a comment and a checksum in its header", ["gzip"], gzipNamed),
            decodes("deflate", ["deflate"], zlib), decodes("deflate without its wrapper", ["deflate"], deflate),
            decodes("one coding upon another", ["deflate, gzip"], zlibInGzip),
            decodes("one coding upon another, in two fields", ["deflate", "\tgzip"], zlibInGzip),
            decodes("identity beside a coding", ["identity, ,Gzip"], gzip),
            decodes("identity", ["identity"], text),

            refuses("an unknown coding", ["rot13"], text, with: .malformed),
            refuses("an unknown coding beside a known one", ["gzip, br"], gzip, with: .malformed),
            refuses("more codings than anybody needs", ["gzip, gzip, gzip, gzip, gzip, gzip"], gzip, with: .malformed),
            refuses("a body that is not coded as announced", ["gzip"], text, with: .malformed),
            refuses("codings in the wrong order", ["gzip, deflate"], zlibInGzip, with: .malformed),
            refuses("gzip that ends early", ["gzip"], gzip.dropLast(9), with: .malformed),
            refuses("gzip without the end of its checksums", ["gzip"], gzip.dropLast(), with: .malformed),
            refuses("deflate that ends early", ["deflate"], zlib.dropLast(5), with: .malformed),
            refuses("gzip with something behind it", ["gzip"], gzip + [1], with: .malformed),
            refuses("gzip with a wrong checksum", ["gzip"], changed(gzip, at: gzip.count - 8), with: .malformed),
            refuses("gzip with a wrong length", ["gzip"], changed(gzip, at: gzip.count - 1), with: .malformed),
            refuses("gzip with a changed byte", ["gzip"], changed(gzip, at: 30), with: .malformed),
            refuses("a thousand bytes that decode to a million", ["gzip"], bomb, with: .tooLarge),
            refuses("sixty bytes that decode to a million", ["gzip, gzip"], bombInGzip, with: .tooLarge),

            Case(testDescription: "the ceiling counts decoded bytes", needs: []) { fixture in
                for (ceiling, isEnough) in [(1_000_000, true), (999_999, false)] {
                    try await exchange(fixture, ["gzip"], bomb, ceiling: ceiling) { outcome in
                        if isEnough {
                            try expect(outcome.get().body, [UInt8](repeating: 0, count: 1_000_000), "the body")
                        } else {
                            expectFailure(outcome, .tooLarge)
                        }
                    }
                }
                // Content that does not compress may be larger in its coded form.
                for ceiling in [text.count, text.count - 1] {
                    try await exchange(fixture, ["gzip"], gzipStored, ceiling: ceiling) { outcome in
                        if ceiling == text.count {
                            try expect(outcome.get().body, text, "the body")
                        } else {
                            expectFailure(outcome, .tooLarge)
                        }
                    }
                }
            },
            Case(testDescription: "an empty body may be called coded", needs: []) { fixture in
                for method in [HTTPRequest.Method.get, .head] {
                    try await exchange(fixture, ["gzip"], [], method: method) {
                        try expect($0.get().body, [], "the body")
                    }
                }
            },
        ]

    /// A case in which `body`, sent with those values of `Content-Encoding`, arrives as ``text``.
    private static func decodes(_ description: String, _ values: [String], _ body: [UInt8]) -> Case {
        Case(testDescription: "a body with a content coding: \(description)", needs: []) { fixture in
            for framing in [Framing.length, .chunked] {
                try await exchange(fixture, values, body, framing: framing) { outcome in
                    let response = try outcome.get()
                    #expect(response.body == text)
                    // The head must describe the decoded body.
                    if body != text {
                        #expect(response.headerFields[.contentEncoding] == nil)
                        #expect(response.headerFields[.contentLength] == nil)
                    }
                    #expect(response.headerFields[.cacheControl] == "no-store")
                }
            }
        }
    }

    private static func refuses(
        _ description: String, _ values: [String], _ body: some Sequence<UInt8>, with code: TransportError.Code
    ) -> Case {
        let body = Array(body)
        return Case(testDescription: "a body with a content coding: \(description)", needs: []) { fixture in
            for framing in [Framing.length, .chunked] {
                try await exchange(fixture, values, body, framing: framing) { expectFailure($0, code) }
            }
        }
    }

    private static func exchange(
        _ fixture: any HTTPTransportFixture, _ values: [String], _ body: [UInt8], framing: Framing = .length,
        method: HTTPRequest.Method = .get, ceiling: Int = 10_000, check: (Outcome) throws -> Void
    ) async throws {
        var head = HTTPResponse(status: .ok)
        for value in values { head.headerFields.append(HTTPField(name: .contentEncoding, value: value)) }
        head.headerFields[.cacheControl] = "no-store"
        let options = TransportOptions(timeout: .seconds(10), maximumResponseBytes: ceiling)
        let server = Server.responds(head, body: body, framing: framing)
        try await send(fixture, server, method: method, options: options, check: check)
    }

    private static func changed(_ bytes: [UInt8], at index: Int) -> [UInt8] {
        var bytes = bytes
        bytes[index] ^= 0x10
        return bytes
    }

    private static func decoded(_ base64: String) -> [UInt8] { Data(base64Encoded: base64).map(Array.init) ?? [] }

    private static let text = Array(
        "The body of a response, as it was before its server coded it: the body of a response, and once more the body of it."
            .utf8)
    private static let gzip = decoded(
        "H4sIAAAAAAAC/3WLsQ2AMAwEV/kBEAMwBwsk8UekIEa2BWJ7QkdDdfrT37oRWeWGViQY/dDunJAcLXANZFY1juVw2klDUaEMsSD+"
            + "6i7QXoj9Tb+vFvMDEQ3rxnMAAAA=")
    private static let gzipMembers = decoded(
        "H4sIAAAAAAAC/wvJSFVIyk+pVMhPU0hUKEotLsjPK07VUUgsVsgsUSgHUkmpaflFqQBSg6GiKAAAAB+LCAAAAAAAAv9VyrENgEAM"
            + "A8BVPABiALZ5PkakIEZJhMT21Fx98C4U82Fiymjw3tAnscte6MBAsm5FccEIg2ISl5K/5b1+6JFOoksAAAA=")
    private static let gzipNamed = decoded(
        "H4sIHgAAAAAAAAMAYWJjbmFtZQBjb21tZW50AAAAdYuxDYAwDARX+QEQAzAHCyTxR6QgRrYFYntCR0N1+tPfuhFZ5YZWJBj90O6c"
            + "kBwtcA1kVjWO5XDaSUNRoQyxIP7qLtBeiP1Nv68W8wMRDevGcwAAAA==")
    private static let zlib = decoded(
        "eNp1i7ENgDAMBFf5ARADMAcLJPFHpCBGtgVie0JHQ3X609+6EVnlhlYkGP3Q7pyQHC1wDWRWNY7lcNpJQ1GhDLEg/uou0F6I/U2/"
            + "rxbzAyGZKCc=")
    private static let deflate = decoded(
        "dYuxDYAwDARX+QEQAzAHCyTxR6QgRrYFYntCR0N1+tPfuhFZ5YZWJBj90O6ckBwtcA1kVjWO5XDaSUNRoQyxIP7qLtBeiP1Nv68W"
            + "8wM=")
    private static let zlibInGzip = decoded(
        "H4sIAAAAAAAC/wFTAKz/eNp1i7ENgDAMBFf5ARADMAcLJPFHpCBGtgVie0JHQ3X609+6EVnlhlYkGP3Q7pyQHC1wDWRWNY7lcNpJ"
            + "Q1GhDLEg/uou0F6I/U2/rxbzAyGZKCc/AzsAUwAAAA==")
    /// ``text``, stored in gzip without compression.
    private static let gzipStored: [UInt8] =
        gzip.prefix(10) + [1, UInt8(text.count), 0, ~UInt8(text.count), 0xff] + text + gzip.suffix(8)
    /// A million zeros in gzip. ``bombInGzip`` is the same in gzip once more.
    private static let bomb =
        decoded("H4sIAAAAAAAC/+3BAQEAAACCIP+vbkhAAQ==") + [UInt8](repeating: 0, count: 968)
        + decoded("rwaey3kSQEIPAA==")
    private static let bombInGzip = decoded(
        "H4sIAAAAAAAC/5Pv5mAAAab/bw8yMgIZTQr/1+d5ODAyjIJRMAqGPFjPNu90pZCDEz8DAIOl4AzrAwAA")
}
