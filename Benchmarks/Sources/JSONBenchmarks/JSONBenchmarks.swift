import Foundation
import Measuring
import TokenBroker

/// Measures JSON of the shapes that cost a parser most, with the sizes that strangers can send: a token's header, a
/// request's body and a vendor's response.
@main enum JSONBenchmarks {
    /// Returns an array of `element`s with up to `bytes` bytes.
    static func wide(_ element: String, bytes: Int) -> [UInt8] {
        let count = (bytes - 2) / (element.utf8.count + 1)
        return Array("[\(Array(repeating: element, count: count).joined(separator: ","))]".utf8)
    }

    /// Returns an object with as many members as fit.
    static func members(bytes: Int) -> [UInt8] {
        var text = "{"
        var number = 0
        while text.utf8.count < bytes - 16 {
            text += "\"\(String(number, radix: 36))\":0,"
            number += 1
        }
        return Array("\(text)\"_\":0}".utf8)
    }

    static func nested(_ opening: String, _ closing: String, depth: Int) -> String {
        String(repeating: opening, count: depth) + "0" + String(repeating: closing, count: depth)
    }

    static func main() async throws {
        for (name, bytes) in [("15 KiB", 15 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
            let shapes: [(String, [UInt8])] = [
                ("empty arrays", wide("[]", bytes: bytes)), ("arrays of one", wide("[0]", bytes: bytes)),
                ("nested arrays", wide(nested("[", "]", depth: 7), bytes: bytes)),
                ("empty objects", wide("{}", bytes: bytes)), ("objects of one", wide(#"{"":0}"#, bytes: bytes)),
                ("nested objects", wide(nested(#"{"":"#, "}", depth: 7), bytes: bytes)),
                ("members", members(bytes: bytes)), ("numbers", wide("0", bytes: bytes)),
                ("long numbers", wide("1234567890123456789", bytes: bytes)),
                ("unicode strings", wide(#""é""#, bytes: bytes)), ("empty strings", wide(#""""#, bytes: bytes)),
                ("strings", wide(#""0123456789abcdef""#, bytes: bytes)), ("escapes", wide(#""\u0041""#, bytes: bytes)),
                ("one string", Array("\"\(String(repeating: #"\n"#, count: bytes / 2 - 1))\"".utf8)),
            ]
            try await compare(
                "Parsing \(name) (one operation is the whole text)",
                shapes.map { shape in
                    Contender(shape.0, operations: 8) {
                        for _ in 0..<8 { withExtendedLifetime(try? JSONValue.parse(shape.1)) {} }
                    }
                }
            )
        }
    }
}
