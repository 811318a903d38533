/// Text that identifies something, equal only to text with the same UTF-8 bytes.
///
/// `String` compares by canonical equivalence: `"\u{E9}"` equals `"e\u{301}"`, and the Kelvin sign equals `K`. A
/// vendor, an issuer or a database may treat two such texts as different ids. Ids, claims, subjects, tenants, scopes
/// and audiences are therefore exact strings, which compare, hash and sort by their bytes.
///
/// ```swift
/// let customer: ExactString = "cus_1"
/// request.inputs[.customer] == customer
/// ```
public struct ExactString: Sendable {
    /// The text as a `String`, for displaying or sending it. To compare, use the exact string.
    public let unicode: String

    /// Creates an exact string from a string.
    ///
    /// - Parameter text: The text, kept byte for byte without normalization.
    public init(_ text: String) {
        var text = text
        text.makeContiguousUTF8()
        self.unicode = text
    }

    /// Creates an exact string from a substring.
    ///
    /// - Parameter text: The text, kept byte for byte without normalization.
    public init(_ text: Substring) { self.init(String(text)) }

    /// The UTF-8 bytes, which are what is compared.
    public var utf8: String.UTF8View { unicode.utf8 }

    /// A Boolean value that indicates whether the text is empty.
    public var isEmpty: Bool { unicode.isEmpty }
}

extension ExactString: Hashable, Comparable {
    /// Returns whether both have the same bytes.
    public static func == (left: ExactString, right: ExactString) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        // Buffers are compared in one operation. They do not outlive the closures.
        let areEqual = left.utf8.withContiguousStorageIfAvailable { left in
            right.utf8.withContiguousStorageIfAvailable { right in left.elementsEqual(right) }
        }
        return areEqual.flatMap(\.self) ?? left.utf8.elementsEqual(right.utf8)
    }

    /// Feeds the bytes to `hasher`. Canonically equivalent texts hash differently, so that no one can construct
    /// colliding keys.
    public func hash(into hasher: inout Hasher) {
        // The buffer does not outlive the closure. A hasher takes many bytes at once in no other way.
        let isHashed: Void? = utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isHashed == nil { for byte in utf8 { hasher.combine(byte) } }
        // A terminator: without it, one text's bytes could be a prefix of another's.
        hasher.combine(UInt8(0xFF))
    }

    /// Returns whether `left` sorts before `right`. The order of the bytes is the order of the Unicode scalars.
    public static func < (left: ExactString, right: ExactString) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}

// Comparison with a `String` is by bytes as well, so that no one needs `unicode` for it.
extension Optional<ExactString> {
    /// Returns whether both have the same bytes.
    public static func == (left: Self, right: String) -> Bool { left == ExactString(right) }
    /// Returns whether both have the same bytes.
    public static func == (left: String, right: Self) -> Bool { ExactString(left) == right }
    /// Returns whether the bytes differ.
    public static func != (left: Self, right: String) -> Bool { left != ExactString(right) }
    /// Returns whether the bytes differ.
    public static func != (left: String, right: Self) -> Bool { ExactString(left) != right }
}

extension ExactString: ExpressibleByStringInterpolation, CustomStringConvertible {
    /// Creates an exact string from a literal.
    public init(stringLiteral value: String) { self.init(value) }

    /// The text.
    public var description: String { unicode }
}
