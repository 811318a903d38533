/// Two texts that `String` considers equal but that differ in their bytes.
public struct Spellings: Sendable {
    /// One spelling.
    public var one: String
    /// Another spelling of the same characters.
    public var other: String

    /// Returns pairs of texts. Each text has one to four pieces with a different spelling, between ordinary text.
    public static func generated(_ count: Int, seed: UInt64) -> [Spellings] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in
            var pair = Spellings(one: "", other: "")
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let plain = ["", "cus_", "inv-", "7", "/x"].randomElement(using: &generator) ?? ""
                let (one, other) = pieces.randomElement(using: &generator) ?? ("", "")
                let isSwapped = Bool.random(using: &generator)
                pair.one += plain + (isSwapped ? other : one)
                pair.other += plain + (isSwapped ? one : other)
            }
            return pair
        }
    }

    /// Composed and decomposed letters, singletons, Hangul, and marks in a different order.
    private static let pieces: [(String, String)] = [
        ("\u{E9}", "e\u{301}"), ("K", "\u{212A}"), ("\u{C5}", "\u{212B}"), ("\u{C5}", "A\u{30A}"),
        ("\u{3A9}", "\u{2126}"), ("\u{AC01}", "\u{1100}\u{1161}\u{11A8}"), ("a\u{323}\u{301}", "a\u{301}\u{323}"),
        ("\u{1E69}", "s\u{307}\u{323}"), ("\u{F900}", "\u{8C48}"), (";", "\u{37E}"), ("\u{B7}", "\u{387}"),
    ]
}
