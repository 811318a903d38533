/// Text that identifies something: equal only to text with the same UTF-8 bytes.
///
/// `String` compares by canonical equivalence, so that `"\u{E9}"` equals `"e\u{301}"` and the Kelvin sign equals `K`. A vendor, an issuer or a
/// database may take such a pair for two different ids. Ids, claims, subjects, tenants, scopes and audiences are therefore exact strings: they
/// compare, hash and order by their bytes, and no caller can forget to.
///
/// ```swift
/// let customer: ExactString = "cus_1"
/// request.inputs[.customer] == customer
/// ```
public struct ExactString: Sendable {
    /// The same text as a `String`, for what displays or sends it. Compare the exact string instead.
    public let unicode: String

    /// - Parameter text: Kept byte for byte; nothing is normalized.
    public init(_ text: String) {
        var text = text
        text.makeContiguousUTF8()
        self.unicode = text
    }

    /// - Parameter text: Kept byte for byte; nothing is normalized.
    public init(_ text: Substring) { self.init(String(text)) }

    /// The bytes that count.
    public var utf8: String.UTF8View { unicode.utf8 }

    /// Whether there are no bytes.
    public var isEmpty: Bool { unicode.isEmpty }
}

extension ExactString: Hashable, Comparable {
    /// Whether both have the same bytes.
    public static func == (left: ExactString, right: ExactString) -> Bool {
        guard left.utf8.count == right.utf8.count else { return false }
        // As buffers, which are compared at once. They do not outlive the closures.
        let areEqual = left.utf8.withContiguousStorageIfAvailable { left in
            right.utf8.withContiguousStorageIfAvailable { right in left.elementsEqual(right) }
        }
        return areEqual.flatMap(\.self) ?? left.utf8.elementsEqual(right.utf8)
    }

    /// Feeds the bytes to `hasher`. Equivalent spellings hash differently, so that nobody can make keys collide.
    public func hash(into hasher: inout Hasher) {
        // The buffer does not outlive the closure; a hasher takes bytes in no other way at once.
        let isHashed: Void? = utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isHashed == nil { for byte in utf8 { hasher.combine(byte) } }
        // No text is the beginning of another.
        hasher.combine(UInt8(0xFF))
    }

    /// Orders by bytes, which is the order of the Unicode scalars.
    public static func < (left: ExactString, right: ExactString) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}

// Comparing with a `String` is by bytes as well, so that nobody reaches for `unicode` to do it.
extension Optional<ExactString> {
    /// Whether both have the same bytes.
    public static func == (left: Self, right: String) -> Bool { left == ExactString(right) }
    /// Whether both have the same bytes.
    public static func == (left: String, right: Self) -> Bool { ExactString(left) == right }
    /// Whether the bytes differ.
    public static func != (left: Self, right: String) -> Bool { left != ExactString(right) }
    /// Whether the bytes differ.
    public static func != (left: String, right: Self) -> Bool { ExactString(left) != right }
}

extension ExactString: ExpressibleByStringInterpolation, CustomStringConvertible {
    /// Takes the literal as it is written.
    public init(stringLiteral value: String) { self.init(value) }

    /// The text.
    public var description: String { unicode }
}
