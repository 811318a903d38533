extension Duration {
    /// Reads `\d+(ms|s|m|h)`, such as `250ms`, `10s`, `2m`, `1h`; `nil` for anything else or out of range.
    package init?(configured text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), count <= 1_000_000_000 else { return nil }
        switch text[digits.endIndex...] {
        case "ms": self = .milliseconds(count)
        case "s": self = .seconds(count)
        case "m": self = .seconds(count * 60)
        case "h": self = .seconds(count * 3600)
        default: return nil
        }
    }
}
