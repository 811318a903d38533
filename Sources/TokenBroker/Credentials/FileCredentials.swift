public import Logging

/// Reads credentials from a file each time they are requested.
///
/// A replaced file takes effect without a restart. The client id and secret come from a single read, so they always
/// belong together. If the file has just been rewritten, the source waits until it has been unchanged for a tenth of a
/// second.
///
/// The file is a JSON object with `client_id` and `client_secret`, or an array of such objects in order of preference
/// (two during a rotation). It may also consist of lines of `NAME=value`, with the configured variable names or
/// `client_id` and `client_secret`.
///
/// If the file does not exist, the source has no credentials. Any other problem with the file is an error. A file that
/// is accessible to group or others is used, with one warning.
public struct FileCredentials: CredentialSource {
    private let path: String
    private let names: CredentialNames
    private let logger: Logger?
    private let warned = Once()
    private let isFirst = Once()

    /// Creates a source for a file.
    ///
    /// - Parameters:
    ///   - path: The path of a regular file of at most 64 KiB.
    ///   - names: The names in a file of `NAME=value` lines.
    ///   - logger: Receives the warning about a file that is accessible to group or others.
    public init(path: String, names: CredentialNames, logger: Logger? = nil) {
        self.path = path
        self.names = names
        self.logger = logger
    }

    /// Returns the credentials in the file, whichever the account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let source = ConfiguredNames.file(path)
        // The first read does not wait: there is no earlier credential to use meanwhile, and a wrong one is soon
        // replaced.
        let file = try SmallFile(path: path, maximumBytes: 64 << 10, source: source, isAtRest: !isFirst.first())
        guard let file else { return [] }
        if file.isReadableByOthers, warned.first() {
            logger?.warning(
                "the credentials file is accessible to group or others; set its mode to 600",
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
    /// The file, which does not exist.
    public var places: [String] { [ConfiguredNames.file(path) + ", which does not exist"] }
}

/// Parses lines of `NAME=value`; `nil` if a line has another form. It understands `export `, comments, blank lines and
/// quotes around a value, and `\n`, `\"` and `\\` between double quotes. If a name occurs twice, the last line wins.
func dotEnv(_ text: String) -> [String: String]? {
    var values: [String: String] = [:]
    // Parse scalars, not characters: a quote and a combining mark after it form one character, which is not a quote.
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
        // A comment needs a space before its `#`, so that a value may contain one.
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
