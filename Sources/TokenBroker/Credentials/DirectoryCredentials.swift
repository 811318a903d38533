#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
public import Logging
import Synchronization

/// Reads credentials from the files of a directory each time they are requested: secrets mounted by Docker or
/// Kubernetes, or by systemd in `$CREDENTIALS_DIRECTORY`.
///
/// Id and secret are read through one open directory, and read again if the directory or one of the files changed
/// meanwhile. They therefore always belong together if the directory is replaced in one step, as Kubernetes does by its
/// `..data` link, or you by your own link. Files that are rewritten in place are used once none of them has changed for
/// a tenth of a second. This bridges a short time between the rewriting of two files.
///
/// A second client secret, with its own client id or that of the first, is a second credential for use during a
/// rotation.
///
/// If the directory does not exist or has none of the files, the source has no credentials. A missing id or secret and
/// an empty file are errors. Files that are accessible to group or others are used, with one warning.
public struct DirectoryCredentials: CredentialSource {
    private let path: String
    private let names: CredentialNames
    private let secondNames: CredentialNames?
    private let logger: Logger?
    private let warned = Once()
    private let last = LastDirectory()

    /// Creates a source for a directory.
    ///
    /// - Parameters:
    ///   - path: The path of the directory.
    ///   - names: The names of the files, each of at most 64 KiB.
    ///   - secondNames: The names of the files of a second credential; `nil` if there is none.
    ///   - logger: Receives the warning about files that are accessible to group or others.
    public init(
        path: String, names: CredentialNames = .init(clientID: "client_id", clientSecret: "client_secret"),
        secondNames: CredentialNames? = .init(clientID: "client_id_2", clientSecret: "client_secret_2"),
        logger: Logger? = nil
    ) {
        self.path = path
        self.names = names
        self.secondNames = secondNames
        self.logger = logger
    }

    /// Returns the credentials in the directory, whichever the account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let source = ConfiguredNames.directory(path)
        // A directory is replaced now and then, so a few attempts suffice.
        for _ in 0..<16 {
            guard let content = try MountedDirectory(path, source) else { return [] }
            let found = Result { () throws(CredentialError) in try pairs(in: content) }
            // Whatever was found during a replacement is meaningless, whether credentials or an error.
            guard try content.isUnchanged() else { continue }
            // A directory that replaced another was complete when it was put in place. On the first read there are no
            // earlier credentials to use meanwhile.
            if last.isSwapped(to: content) || content.rest(for: .milliseconds(100)) { return try found.get() }
        }
        throw CredentialError(.unreadable, source: source, message: "it keeps changing")
    }

    private func pairs(in content: MountedDirectory) throws(CredentialError) -> [Credential] {
        var values: [String: String] = [:]
        var names = [names]
        if let secondNames { names.append(secondNames) }
        for name in names.flatMap({ [$0.clientID, $0.clientSecret] }).compactMap({ $0 }) {
            guard let file = try content.read(name) else { continue }
            if file.isReadableByOthers, content.isOpenToOthers, warned.first() {
                logger?.warning(
                    "a file with credentials is accessible to group or others; set its mode to 400",
                    metadata: ["path": "\(path)/\(name)"]
                )
            }
            guard let text = String(validating: file.bytes, as: UTF8.self) else {
                throw CredentialError(
                    .malformed, source: ConfiguredNames.file("\(path)/\(name)"), message: "it is not UTF-8 text")
            }
            values[name] = text
        }
        // Often only the secret is rotated, and the client id stays the same.
        if let secondNames, let secret = secondNames.clientSecret, values[secret] != nil,
            values[secondNames.clientID] == nil
        {
            values[secondNames.clientID] = values[self.names.clientID]
        }
        var pairs: [Credential] = []
        for names in names {
            if let pair = try pair(from: values, names, source: ConfiguredNames.directory(path)) { pairs.append(pair) }
        }
        return pairs
    }
}

extension DirectoryCredentials: CredentialPlaces {
    /// The directory and the files of the first credential.
    public var places: [String] {
        let files = [names.clientID, names.clientSecret].compactMap(\.self).map(ConfiguredNames.name)
        return [
            ConfiguredNames.directory(path) + ", which does not exist or has no " + files.joined(separator: " and ")
        ]
    }
}

/// The directory that was read last.
private final class LastDirectory: Sendable {
    private let directory = Mutex<[FileIdentity.Place]?>(nil)

    /// Returns whether `content` is in another directory than at the previous call.
    func isSwapped(to content: MountedDirectory) -> Bool {
        directory.withLock { last in
            defer { last = content.places }
            return last != content.places
        }
    }
}

/// A directory of secret files as it is at one moment. If it has a `..data` link, as Kubernetes mounts have, the files
/// are read from there.
private final class MountedDirectory {
    private let path: String
    private let source: String
    private let base: Directory
    private let data: Directory?
    private var seen: [String: FileIdentity?] = [:]

    /// Opens the directory; `nil` if it does not exist.
    init?(_ path: String, _ source: String) throws(CredentialError) {
        guard let base = try Directory(path: path, source: source) else { return nil }
        self.path = path
        self.source = source
        self.base = base
        data = try Directory(path: "..data", in: base.descriptor, source: source)
    }

    var isOpenToOthers: Bool { base.isOpenToOthers }

    var places: [FileIdentity.Place] { [base.place] + (data.map { [$0.place] } ?? []) }

    /// Waits until none of the files has changed for `quiet`, by their own change times.
    ///
    /// - Returns: Whether the files are still the ones that were read.
    func rest(for quiet: Duration) -> Bool {
        let age = seen.values.compactMap { $0?.age }.min() ?? quiet
        guard age < quiet else { return true }
        usleep(UInt32((quiet - age) / .microseconds(1)))
        return (try? isUnchanged()) == true
    }

    private var files: Int32 { (data ?? base).descriptor }

    /// Reads a file; `nil` if it does not exist.
    func read(_ name: String) throws(CredentialError) -> SmallFile? {
        let file = try SmallFile(
            path: name, in: files, maximumBytes: 64 << 10, source: ConfiguredNames.file("\(path)/\(name)"))
        seen[name] = file?.identity
        return file
    }

    /// Returns whether the path still leads to the same directory with the same files.
    func isUnchanged() throws(CredentialError) -> Bool {
        guard let now = try Directory(path: path, source: source), now.isSame(as: base) else { return false }
        let nowData = try Directory(path: "..data", in: now.descriptor, source: source)
        guard data.map({ $0.isSame(as: nowData) }) ?? (nowData == nil) else { return false }
        return seen.allSatisfy { FileIdentity(path: $0.key, in: files) == $0.value }
    }
}
