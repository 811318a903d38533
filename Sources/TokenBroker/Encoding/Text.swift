/// Returns `words` times 64 bits from the system's secure generator, in lower-case hexadecimal.
package func randomHex(words: Int) -> String {
    var generator = SystemRandomNumberGenerator()
    var text = ""
    for _ in 0..<words {
        let word = String(generator.next() as UInt64, radix: 16)
        text += String(repeating: "0", count: 16 - word.count) + word
    }
    return text
}

/// Removes percent-encoding (RFC 3986, section 2.1); `nil` if it is malformed or not UTF-8.
package func percentDecoded(_ text: some StringProtocol) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8.makeIterator()
    while let byte = rest.next() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        guard let high = rest.next().flatMap(hexDigitValue), let low = rest.next().flatMap(hexDigitValue) else {
            return nil
        }
        bytes.append(high << 4 | low)
    }
    return String(validating: bytes, as: UTF8.self)
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
package func percentEncoded(_ text: String) -> String {
    encoded(text, space: "%20") { $0 == UInt8(ascii: "~") }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
package func percentEncoded(_ text: ExactString) -> String { percentEncoded(text.unicode) }

/// Encodes text as `application/x-www-form-urlencoded` like the URL standard, which RFC 6749 (appendix B) refers to. A
/// space becomes `+`, and everything but letters, digits and `*-._` is percent-encoded.
package func formEncoded(_ text: String) -> String {
    encoded(text, space: "+") { $0 == UInt8(ascii: "*") }
}

private func encoded(_ text: String, space: String, alsoPlain: (UInt8) -> Bool) -> String {
    let digits = Array("0123456789ABCDEF")
    var result = ""
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            result.unicodeScalars.append(Unicode.Scalar(byte))
        case _ where alsoPlain(byte):
            result.unicodeScalars.append(Unicode.Scalar(byte))
        case UInt8(ascii: " "):
            result += space
        default:
            result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
        }
    }
    return result
}

package func hexDigitValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

extension StringProtocol {
    /// The text without white space at both ends. It is trimmed scalar by scalar, so that a combining mark after a
    /// space does not protect the space.
    package var trimmingWhiteSpace: SubSequence {
        let scalars = unicodeScalars
        let start = scalars.firstIndex { !$0.properties.isWhitespace } ?? endIndex
        let end = scalars.lastIndex { !$0.properties.isWhitespace }.map(scalars.index(after:)) ?? start
        return self[start..<end]
    }
}
