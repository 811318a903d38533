#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
public import Logging
import Synchronization

/// Reads the pair from two files of a directory, anew each time it is asked: secrets mounted by Docker or Kubernetes,
/// or what systemd puts in `$CREDENTIALS_DIRECTORY`.
///
/// Both halves are read through one open directory, and again if it, or a file in it, changed meanwhile. So a pair is
/// never torn when the directory is replaced in one step, as Kubernetes does by its `..data` link, or you by a link
/// of your own. Files that are rewritten where they are count when none of them has changed for a tenth of a second,
/// which bridges the time between two that are rewritten one after the other, if that is short.
///
/// A second client secret, with a client id of its own or that of the first, is a second pair: both count while a
/// rotation is under way.
///
/// A directory that does not exist, or has none of the files, is absent; half of a pair, or an empty file, is broken.
/// Files that others than their owner can read are used, with one warning.
public struct DirectoryCredentials: CredentialSource {
    private let path: String
    private let names: CredentialNames
    private let secondNames: CredentialNames?
    private let logger: Logger?
    private let warned = Once()
    private let last = LastDirectory()

    /// - Parameters:
    ///   - path: Of the directory.
    ///   - names: Of its files, each of at most 64 KiB.
    ///   - secondNames: Of the files of a second pair, if there may be one.
    ///   - logger: For the warning about files that others can read.
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

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let source = ConfiguredNames.directory(path)
        // A directory is replaced once in a while, not again and again.
        for _ in 0..<16 {
            guard let content = try MountedDirectory(path, source) else { return [] }
            let found = Result { () throws(CredentialError) in try pairs(in: content) }
            // What was found while it was being replaced means nothing, be it a pair or an error.
            guard try content.isUnchanged() else { continue }
            // Another directory was whole when it was put there, and at the start there is nothing that could be used
            // meanwhile.
            if last.isSwapped(to: content) || content.rest(for: .milliseconds(100)) { return try found.get() }
        }
        throw CredentialError(.unreadable, source: source, message: "it changes again and again")
    }

    private func pairs(in content: MountedDirectory) throws(CredentialError) -> [Credential] {
        var values: [String: String] = [:]
        var names = [names]
        if let secondNames { names.append(secondNames) }
        for name in names.flatMap({ [$0.clientID, $0.clientSecret] }).compactMap({ $0 }) {
            guard let file = try content.read(name) else { continue }
            if file.isReadableByOthers, content.isOpenToOthers, warned.first() {
                logger?.warning(
                    "others than its owner can read a file with credentials; set its mode to 400",
                    metadata: ["path": "\(path)/\(name)"]
                )
            }
            guard let text = String(validating: file.bytes, as: UTF8.self) else {
                throw CredentialError(
                    .malformed, source: ConfiguredNames.file("\(path)/\(name)"), message: "it is not UTF-8 text")
            }
            values[name] = text
        }
        // Often the client id stays, and only its secret is rotated.
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
    /// The directory and the files of the first pair.
    public var places: [String] {
        let files = [names.clientID, names.clientSecret].compactMap(\.self).map(ConfiguredNames.name)
        return [
            ConfiguredNames.directory(path) + ", which does not exist or has no " + files.joined(separator: " and ")
        ]
    }
}

/// Which directory was read last.
private final class LastDirectory: Sendable {
    private let directory = Mutex<[FileIdentity.Place]?>(nil)

    /// Whether `content` is in another directory than what this was asked about before.
    func isSwapped(to content: MountedDirectory) -> Bool {
        directory.withLock { last in
            defer { last = content.places }
            return last != content.places
        }
    }
}

/// A directory of secret files as it is at one moment. With a `..data` link, as Kubernetes mounts have it, that is
/// where the files are.
private final class MountedDirectory {
    private let path: String
    private let source: String
    private let base: Directory
    private let data: Directory?
    private var seen: [String: FileIdentity?] = [:]

    /// `nil` if there is none.
    init?(_ path: String, _ source: String) throws(CredentialError) {
        guard let base = try Directory(path: path, source: source) else { return nil }
        self.path = path
        self.source = source
        self.base = base
        data = try Directory(path: "..data", in: base.descriptor, source: source)
    }

    var isOpenToOthers: Bool { base.isOpenToOthers }

    var places: [FileIdentity.Place] { [base.place] + (data.map { [$0.place] } ?? []) }

    /// Waits until none of the files has changed for `quiet`, by their own time of change.
    /// - Returns: Whether they are still the ones that were read.
    func rest(for quiet: Duration) -> Bool {
        let age = seen.values.compactMap { $0?.age }.min() ?? quiet
        guard age < quiet else { return true }
        usleep(UInt32((quiet - age) / .microseconds(1)))
        return (try? isUnchanged()) == true
    }

    private var files: Int32 { (data ?? base).descriptor }

    /// `nil` if there is no such file.
    func read(_ name: String) throws(CredentialError) -> SmallFile? {
        let file = try SmallFile(
            path: name, in: files, maximumBytes: 64 << 10, source: ConfiguredNames.file("\(path)/\(name)"))
        seen[name] = file?.identity
        return file
    }

    /// Whether another look finds the same directory with the same files.
    func isUnchanged() throws(CredentialError) -> Bool {
        guard let now = try Directory(path: path, source: source), now.isSame(as: base) else { return false }
        let nowData = try Directory(path: "..data", in: now.descriptor, source: source)
        guard data.map({ $0.isSame(as: nowData) }) ?? (nowData == nil) else { return false }
        return seen.allSatisfy { FileIdentity(path: $0.key, in: files) == $0.value }
    }
}
