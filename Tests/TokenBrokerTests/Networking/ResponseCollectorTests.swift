import Foundation
import HTTPTypes
import TestSupport
import Testing
import TokenBroker

/// Tests that content that zlib encoded decodes to the original, however it is split into pieces.
struct ResponseCollectorTests {
    private func collect(
        _ coding: String, _ bytes: [UInt8], pieces: Int = .max, maximumBytes: Int = 1 << 20
    ) throws -> TransportResponse {
        let head = HTTPResponse(status: .ok, headerFields: [.contentEncoding: coding])
        var collector = try ResponseCollector(head, for: .get, maximumBytes: maximumBytes)
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(pieces)
            try collector.append(piece.span.bytes)
            rest = rest.dropFirst(pieces)
        }
        return try collector.response()
    }

    private struct Sample: Decodable {
        let name: String
        let coding: String
        let text: Data
        let coded: Data
    }

    /// Samples of every level and strategy of zlib, with texts that lead to every kind of block.
    private static let samples = Result {
        let script = """
            python3 - <<'END'
            import base64, json, random, zlib
            random.seed(1)
            words = [bytes(random.choices(b"abcdefghijklmnopqrstuvwxyz", k=random.randint(1, 12))) for _ in range(500)]
            texts = {
                "empty": b"", "one byte": b"x", "zeros": bytes(3000), "random": random.randbytes(3000),
                "words": b" ".join(random.choices(words, k=500)),
                "repetitions": b"".join(
                    random.randbytes(length) * 2 for length in (1, 2, 3, 4, 5, 9, 17, 33, 65, 129, 257, 258, 259, 513, 1025, 2049)
                ),
            }
            samples = []
            for name, text in texts.items():
                for level in (0, 1, 9):
                    for strategy in (0, 2, 4):
                        for bits, coding in ((31, "gzip"), (15, "deflate"), (-15, "deflate")):
                            coder = zlib.compressobj(level, zlib.DEFLATED, bits, 8, strategy)
                            half = len(text) // 2
                            coded = coder.compress(text[:half]) + coder.flush(zlib.Z_FULL_FLUSH)
                            coded += coder.compress(text[half:]) + coder.flush()
                            samples.append({
                                "name": f"{name}, level {level}, strategy {strategy}, {bits} bits", "coding": coding,
                                "text": base64.b64encode(text).decode(), "coded": base64.b64encode(coded).decode(),
                            })
            # The farthest distance there is.
            text = random.randbytes(32768) + b"the end"
            text += text[:100]
            samples.append({
                "name": "far", "coding": "gzip", "text": base64.b64encode(text).decode(),
                "coded": base64.b64encode(zlib.compress(text, 9, 31)).decode(),
            })
            print(json.dumps(samples))
            END
            """
        return try JSONDecoder().decode([Sample].self, from: Data(try shell(script).utf8))
    }

    @Test func `whatever zlib encodes is decoded`() throws {
        let samples = try Self.samples.get()
        #expect(samples.count == 163)
        for sample in samples {
            for pieces in [Int.max, 1000] {
                let response = try collect(sample.coding, Array(sample.coded), pieces: pieces)
                #expect(response.body == Array(sample.text), "\(sample.name), in pieces of \(pieces)")
            }
        }
    }

    @Test func `an encoded response can arrive one byte at a time`() throws {
        for sample in try Self.samples.get() where sample.coded.count < 4000 {
            let response = try collect(sample.coding, Array(sample.coded), pieces: 1)
            #expect(response.body == Array(sample.text), "\(sample.name)")
        }
    }

    @Test func `an encoded response that is truncated or damaged is an error`() throws {
        let sample = try #require(try Self.samples.get().first { $0.name == "words, level 9, strategy 0, 31 bits" })
        let coded = Array(sample.coded)
        for count in stride(from: 1, to: coded.count, by: 31) {
            #expect(throws: TransportError.self) { try collect("gzip", Array(coded.prefix(count))) }
        }
        for index in stride(from: 10, to: coded.count, by: 31) {
            var damaged = coded
            damaged[index] ^= 4
            // Some bits have no meaning.
            if let response = try? collect("gzip", damaged) { #expect(response.body == Array(sample.text)) }
        }
    }

    @Test func `random bytes are not decoded as a response`() {
        for _ in 0..<1000 {
            let noise = (0..<Int.random(in: 1...300)).map { _ in UInt8.random(in: 0...255) }
            let header: [UInt8] = [31, 139, 8, 0, 0, 0, 0, 0, 0, 0]
            #expect(throws: TransportError.self, "\(noise)") { try collect("gzip", header + noise, pieces: 7) }
            // Without a checksum, noise may be valid by chance.
            if let response = try? collect("deflate", noise, pieces: 7, maximumBytes: 1000) {
                #expect(response.body.count <= 1000, "\(noise)")
            }
        }
    }

    @Test func `the size limit also holds for the encoded bytes received`() throws {
        // Empty gzip members decode to nothing, and could go on for ever.
        let nothing: [UInt8] = [31, 139, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(try collect("gzip", nothing).body == [])
        let many = Array([[UInt8]](repeating: nothing, count: 1000).joined())
        #expect(try collect("gzip", many, maximumBytes: 100_000).body == [])
        let error = #expect(throws: TransportError.self) { try collect("gzip", many, maximumBytes: 1000) }
        #expect(error?.code == .tooLarge)
    }

    @Test(arguments: [0, 5, 1 << 20, Int.max, -1])
    func `a response's size limit can be any number`(ceiling: Int) throws {
        let head = HTTPResponse(status: .ok, headerFields: [.contentEncoding: "gzip"])
        #expect(try ResponseCollector(head, for: .get, maximumBytes: ceiling).response().body == [])
    }
}
