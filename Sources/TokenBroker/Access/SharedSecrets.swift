public import Logging

/// The secrets that the broker shares with another server. There may be several, so that one can be replaced without
/// a moment in which the two do not agree.
public struct SharedSecrets: Sendable {
    private enum Place: Sendable {
        case file(RestingFile<[Secret]>, source: String)
        case text(Secret, source: String)
    }
    private let place: Place
    private let minimumBytes: Int

    /// Secrets in a file: one a line, one to four lines. White space around a secret is not part of it.
    ///
    /// The file is read when it has changed and rested for half a second. Until then, and while it is missing or
    /// cannot be used, what was there last counts.
    /// - Parameters:
    ///   - path: Of a regular file of at most 64 KiB.
    ///   - minimumBytes: How long each secret has to be.
    ///   - logger: For what is wrong with the file while what was there last counts, and for the warning about a file
    ///     that others than its owner can read.
    public init(file path: String, minimumBytes: Int = 16, logger: Logger? = nil) {
        self.init(file: path, minimumBytes: minimumBytes, clock: ContinuousClock(), logger: logger)
    }

    /// - Parameter clock: Measures how long the file rests.
    package init(file path: String, minimumBytes: Int = 16, clock: some Clock<Duration>, logger: Logger? = nil) {
        let file = RestingFile<[Secret]>(
            path: path, maximumBytes: 64 << 10, isSecret: true, clock: clock, logger: logger
        )
        self.place = .file(file, source: ConfiguredNames.file(path))
        self.minimumBytes = minimumBytes
    }

    /// The secrets that stood in a variable, in the same form.
    /// - Parameter logger: For a value that stands in quotes.
    public init(
        variable: String, in environment: [String: String], minimumBytes: Int = 16, logger: Logger? = nil
    ) {
        if let value = environment[variable] { logger?.warnOfQuotes(in: variable, value) }
        self.place = .text(
            Secret(withoutByteOrderMark(environment[variable] ?? "")), source: ConfiguredNames.variable(variable)
        )
        self.minimumBytes = minimumBytes
    }

    /// The secrets that count now, at least one; the first is the one to use, all are to be accepted. It does not
    /// wait for a file that has just changed.
    /// - Throws: ``CredentialError`` if there have not been any yet, also for a secret that is so short that it could
    ///   be guessed.
    public func load() throws(CredentialError) -> [Secret] {
        switch place {
        case .text(let text, let source): return try secrets(in: text.reveal(), source)
        case .file(let file, let source):
            return try file.currentValue { (bytes) throws(CredentialError) in try secrets(in: bytes, source) }
        }
    }

    /// The same, for whoever can wait for a file that has just changed to come to rest.
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
                .malformed, source: source, message: "expected at least \(minimumBytes) bytes in a secret, found less"
            )
        }
        return lines.map { Secret(String($0)) }
    }
}
