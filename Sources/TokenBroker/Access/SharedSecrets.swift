public import Logging

/// The secrets that the broker shares with another server. There may be several, so that one can be replaced without an
/// interruption.
public struct SharedSecrets: Sendable {
    private enum Place: Sendable {
        case file(RestingFile<[Secret]>, source: String)
        case text(Secret, source: String)
    }
    private let place: Place
    private let minimumBytes: Int

    /// Creates secrets from a file: one secret per line, one to four lines. White space around a secret is not part of
    /// it.
    ///
    /// The file is read again once it has changed and then stayed unchanged for half a second. Until then, and while
    /// the file is missing or unusable, the previous secrets remain valid.
    /// - Parameters:
    ///   - path: The path of a regular file of at most 64 KiB.
    ///   - minimumBytes: The minimum length of each secret.
    ///   - logger: Logs what is wrong with the file while the previous secrets remain valid, and warns about a file
    ///     that is readable by group or others.
    public init(file path: String, minimumBytes: Int = 16, logger: Logger? = nil) {
        self.init(file: path, minimumBytes: minimumBytes, clock: ContinuousClock(), logger: logger)
    }

    /// - Parameter clock: Measures how long the file stays unchanged.
    package init(file path: String, minimumBytes: Int = 16, clock: some Clock<Duration>, logger: Logger? = nil) {
        let file = RestingFile<[Secret]>(
            path: path, maximumBytes: 64 << 10, isSecret: true, clock: clock, logger: logger
        )
        self.place = .file(file, source: ConfiguredNames.file(path))
        self.minimumBytes = minimumBytes
    }

    /// Creates secrets from an environment variable, in the same form as in a file.
    /// - Parameters:
    ///   - variable: The name of the variable.
    ///   - environment: The environment.
    ///   - minimumBytes: The minimum length of each secret.
    ///   - logger: Warns about a value in quotes.
    public init(
        variable: String, in environment: [String: String], minimumBytes: Int = 16, logger: Logger? = nil
    ) {
        if let value = environment[variable] { logger?.warnOfQuotes(in: variable, value) }
        self.place = .text(
            Secret(withoutByteOrderMark(environment[variable] ?? "")), source: ConfiguredNames.variable(variable)
        )
        self.minimumBytes = minimumBytes
    }

    /// Returns the current secrets, at least one. Use the first one, and accept all of them. The method does not wait
    /// for a file that has just changed.
    /// - Throws: ``CredentialError`` if no valid secrets have been loaded yet. A secret that is so short that it could
    ///   be guessed is not valid.
    public func load() throws(CredentialError) -> [Secret] {
        switch place {
        case .text(let text, let source): return try secrets(in: text.reveal(), source)
        case .file(let file, let source):
            return try file.currentValue { (bytes) throws(CredentialError) in try secrets(in: bytes, source) }
        }
    }

    /// Returns the current secrets, after a wait for a file that has just changed.
    /// - Throws: ``CredentialError`` as ``load()`` does.
    public func current() async throws(CredentialError) -> [Secret] {
        guard case .file(let file, let source) = place else { return try load() }
        return try await file.value { (bytes) throws(CredentialError) in try secrets(in: bytes, source) }
    }

    private func secrets(in bytes: [UInt8], _ source: String) throws(CredentialError) -> [Secret] {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CredentialError(.malformed, source: source, message: "it is not UTF-8 text")
        }
        return try secrets(in: text, source)
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
                .malformed, source: source, message: "expected at least \(minimumBytes) bytes in a secret, found fewer"
            )
        }
        return lines.map { Secret(String($0)) }
    }
}
