/// The secrets that the broker shares with another server. There may be several, so that one can be replaced without a moment in
/// which the two do not agree.
public struct SharedSecrets: Sendable {
    private enum Place: Sendable {
        case file(String)
        case text(Secret, source: String)
    }
    private let place: Place
    private let minimumBytes: Int

    /// Secrets in a file, which is read anew each time: one a line, one to four lines. White space around a secret is not part of it.
    public init(file path: String, minimumBytes: Int = 16) {
        self.place = .file(path)
        self.minimumBytes = minimumBytes
    }

    /// The secrets that stood in a variable, in the same form.
    public init(variable: String, in environment: [String: String], minimumBytes: Int = 16) {
        self.place = .text(Secret(environment[variable] ?? ""), source: "the variable \(variable)")
        self.minimumBytes = minimumBytes
    }

    /// The secrets as they are now, at least one; the first is the one to use, all are to be accepted.
    /// - Throws: ``CredentialError``, also for a secret that is so short that it could be guessed.
    public func load() throws(CredentialError) -> [Secret] {
        switch place {
        case .text(let text, let source): return try secrets(in: text.reveal(), source)
        case .file(let path):
            let source = "file \(path)"
            guard let file = try SmallFile(path: path, maximumBytes: 64 << 10, source: source) else {
                throw CredentialError(.unreadable, source: source, message: "no such file")
            }
            guard let text = String(validating: file.bytes, as: UTF8.self) else {
                throw CredentialError(.malformed, source: source, message: "it is not UTF-8 text")
            }
            return try secrets(in: text, source)
        }
    }

    private func secrets(in text: String, _ source: String) throws(CredentialError) -> [Secret] {
        let lines = text.split(whereSeparator: \.isNewline).map(\.trimmingWhiteSpace).filter { !$0.isEmpty }
        guard !lines.isEmpty else {
            throw CredentialError(.incomplete, source: source, message: "expected a secret, found nothing")
        }
        guard lines.count <= 4 else {
            throw CredentialError(.malformed, source: source, message: "expected at most four lines, found more")
        }
        guard lines.allSatisfy({ $0.utf8.count >= minimumBytes }) else {
            throw CredentialError(
                .malformed, source: source, message: "expected at least \(minimumBytes) bytes in a secret, found less"
            )
        }
        return lines.map { Secret(String($0)) }
    }
}
