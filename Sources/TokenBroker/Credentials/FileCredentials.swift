public import Logging

/// Reads the pair from a file, anew each time it is asked, in one read, so that a replaced file takes effect and a
/// pair is never torn. A file that has just been rewritten is read when it has rested for a tenth of a second.
///
/// The file is a JSON object with `client_id` and `client_secret`, an array of such objects in order of preference
/// (two pairs while a rotation is under way), or lines of `NAME=value` with the configured variable names or
/// `client_id` and `client_secret`. A file that does not exist is absent; anything else that is wrong with it is
/// broken. A file that others than its owner can read is used, with one warning.
public struct FileCredentials: CredentialSource {
    private let path: String
    private let names: CredentialNames
    private let logger: Logger?
    private let warned = Once()
    private let isFirst = Once()

    /// - Parameters:
    ///   - path: Of a regular file of at most 64 KiB.
    ///   - names: The names in a file of `NAME=value` lines.
    ///   - logger: For the warning about a file that others can read.
    public init(path: String, names: CredentialNames, logger: Logger? = nil) {
        self.path = path
        self.names = names
        self.logger = logger
    }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let source = ConfiguredNames.file(path)
        // At the start there is nothing that could be used meanwhile, and a pair that is wrong is soon replaced.
        let file = try SmallFile(path: path, maximumBytes: 64 << 10, source: source, isAtRest: !isFirst.first())
        guard let file else { return [] }
        if file.isReadableByOthers, warned.first() {
            logger?.warning(
                "others than its owner can read the credentials file; set its mode to 600",
                metadata: ["path": "\(path)"]
            )
        }
        guard let text = String(validating: file.bytes, as: UTF8.self) else {
            throw CredentialError(.malformed, source: source, message: "it is not UTF-8 text")
        }
        if text.trimmingWhiteSpace.isEmpty {
            throw CredentialError(.incomplete, source: source, message: "it is empty")
        }
        guard let first = text.trimmingWhiteSpace.first, "{[".contains(first) else {
            return [try fromLines(text, source)]
        }
        return try pairs(inJSON: file.bytes, needsSecret: names.clientSecret != nil, source: source)
    }

    private func fromLines(_ text: String, _ source: String) throws(CredentialError) -> Credential {
        guard let values = dotEnv(text) else {
            throw CredentialError(
                .malformed, source: source, message: "it is neither a JSON object nor lines of NAME=value"
            )
        }
        for names in [names, .json(needsSecret: names.clientSecret != nil)] {
            if let found = try pair(from: values, names, source: source) { return found }
        }
        throw CredentialError(.incomplete, source: source, message: "it has no \(names)")
    }
}

extension FileCredentials: CredentialPlaces {
    /// The file.
    public var places: [String] { [ConfiguredNames.file(path) + ", which does not exist"] }
}

/// Reads lines of `NAME=value`; `nil` if a line is none. `export `, comments, blank lines and quotes around a value
/// are understood, as is `\n`, `\"` and `\\` between double quotes. The last of two lines with one name counts.
func dotEnv(_ text: String) -> [String: String]? {
    var values: [String: String] = [:]
    // Scalar by scalar: as characters, a quote and a combining mark after it would be one, and no quote.
    for line in text.unicodeScalars.split(whereSeparator: { $0 == "\n" || $0 == "\r" }) {
        var line = line.trimmingWhiteSpace
        if line.isEmpty || line.first == "#" { continue }
        if line.starts(with: "export ".unicodeScalars) { line = line.dropFirst(7).trimmingWhiteSpace }
        guard let separator = line.firstIndex(of: "=") else { return nil }
        let name = line[..<separator].trimmingWhiteSpace
        guard !name.isEmpty, !name.contains(where: \.properties.isWhitespace),
            let value = dotEnvValue(line[line.index(after: separator)...].trimmingWhiteSpace)
        else { return nil }
        values[String(name)] = value
    }
    return values
}

private func dotEnvValue(_ text: Substring.UnicodeScalarView) -> String? {
    guard let quote = text.first, quote == "\"" || quote == "'" else {
        // A comment begins with a space before it, so that a value may contain the sign.
        let comment = text.firstRange(of: " #".unicodeScalars)
        return String(comment.map { text[..<$0.lowerBound].trimmingWhiteSpace } ?? text)
    }
    var value = String.UnicodeScalarView()
    var rest = text.dropFirst()
    while let scalar = rest.popFirst() {
        if scalar == quote {
            let rest = rest.trimmingWhiteSpace
            return rest.isEmpty || rest.first == "#" ? String(value) : nil
        }
        if scalar == "\\", quote == "\"", let escaped = rest.popFirst() {
            value.append(escaped == "n" ? "\n" : escaped)
        } else {
            value.append(scalar)
        }
    }
    return nil
}

extension Substring.UnicodeScalarView {
    fileprivate var trimmingWhiteSpace: Self {
        let start = firstIndex { !$0.properties.isWhitespace } ?? endIndex
        let end = lastIndex { !$0.properties.isWhitespace }.map(index(after:)) ?? start
        return self[start..<end]
    }
}
