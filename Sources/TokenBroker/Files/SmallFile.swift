import FoundationEssentials

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A regular file, read whole through one descriptor.
///
/// Content and mode therefore belong to the same file even while it is being replaced. System calls are used because no
/// higher-level API opens a file without blocking on a pipe.
package struct SmallFile {
    package let bytes: [UInt8]
    package let isReadableByOthers: Bool
    let identity: FileIdentity

    /// Reads a file; `nil` if it does not exist.
    ///
    /// - Parameters:
    ///   - path: The path of the file.
    ///   - maximumBytes: The largest size that is accepted.
    ///   - source: The name of the file in errors.
    ///   - isAtRest: Whether to wait until the file has not changed for a tenth of a second, and throw if it keeps
    ///     changing. Without that, a file that is being written could be read half-written. The wait blocks the calling
    ///     thread, and happens only right after a change.
    package init?(path: String, maximumBytes: Int, source: String, isAtRest: Bool = false) throws(CredentialError) {
        try self.init(path: path, in: AT_FDCWD, maximumBytes: maximumBytes, source: source)
        guard isAtRest else { return }
        for _ in 0..<10 {
            let wait = remainingRest
            if wait > .zero { usleep(UInt32(wait / .microseconds(1))) }
            if FileIdentity(path: path, in: AT_FDCWD) == identity { return }
            guard let file = try SmallFile(path: path, maximumBytes: maximumBytes, source: source) else { return nil }
            self = file
        }
        throw Self.restless(source)
    }

    /// The time for which the file must still stay unchanged until it has not changed for a tenth of a second.
    var remainingRest: Duration { max(.zero, .milliseconds(100) - identity.age) }

    static func restless(_ source: String) -> CredentialError {
        CredentialError(.unreadable, source: source, message: "it keeps changing")
    }

    /// Reads a file without waiting; `nil` if it does not exist.
    ///
    /// - Parameters:
    ///   - path: The path of the file.
    ///   - directory: The descriptor of the directory that a relative path starts from.
    ///   - maximumBytes: The largest size that is accepted.
    ///   - source: The name of the file in errors.
    init?(path: String, in directory: Int32, maximumBytes: Int, source: String) throws(CredentialError) {
        let descriptor = openat(directory, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw CredentialError(.unreadable, source: source, message: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw CredentialError(.unreadable, source: source, message: "it is not a regular file")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw CredentialError(.unreadable, source: source, message: String(cString: strerror(errno)))
            }
            if count == 0 { break }
            bytes += chunk.prefix(count)
            guard bytes.count <= maximumBytes else {
                throw CredentialError(.malformed, source: source, message: "it is larger than \(maximumBytes) bytes")
            }
        }
        self.bytes = Array(withoutByteOrderMark(bytes))
        self.isReadableByOthers = status.st_mode & (S_IRWXG | S_IRWXO) != 0
        self.identity = FileIdentity(status)
    }
}

/// The identity of a file and its state. Every write changes it, whatever the modification time is set to, because the
/// change time cannot be set.
struct FileIdentity: Equatable {
    /// The place of the file, independent of its content.
    struct Place: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    private let place: Place
    private let size: Int64
    private let change: [Int]

    init(_ status: stat) {
        place = Place(device: UInt64(truncatingIfNeeded: status.st_dev), inode: UInt64(status.st_ino))
        size = Int64(status.st_size)
        #if canImport(Darwin)
        let time = status.st_ctimespec
        #else
        let time = status.st_ctim
        #endif
        // Two numbers, seconds and nanoseconds. They are not read by name: which module a `timespec` comes from depends
        // on what else is compiled in the same batch, and only the right module may be imported for it.
        change = withUnsafeBytes(of: time) { Array($0.bindMemory(to: Int.self)) }
    }

    /// The time since the last change, by the file's own change time; zero if the clocks differ and it cannot be told.
    var age: Duration {
        guard change.count == 2 else { return .zero }
        let now = Duration.seconds(Date().timeIntervalSince1970)
        return max(.zero, now - .seconds(change[0]) - .nanoseconds(change[1]))
    }

    /// Looks up a file; `nil` if it cannot be found.
    init?(path: String, in directory: Int32) {
        var status = stat()
        guard fstatat(directory, path, &status, 0) == 0 else { return nil }
        self.init(status)
    }
}

/// An open directory. Reads through it come from this directory, even after another one has replaced it.
final class Directory {
    let descriptor: Int32
    /// Whether group or others can access the files in the directory.
    let isOpenToOthers: Bool
    let place: FileIdentity.Place

    /// Opens a directory; `nil` if it does not exist.
    ///
    /// - Parameters:
    ///   - path: The path of the directory.
    ///   - directory: The descriptor of the directory that a relative path starts from, instead of the working
    ///     directory.
    ///   - source: The name of the directory in errors.
    init?(path: String, in directory: Int32 = AT_FDCWD, source: String) throws(CredentialError) {
        descriptor = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        var status = stat()
        let opened = descriptor >= 0 && fstat(descriptor, &status) == 0
        let code = errno
        place = .init(device: UInt64(truncatingIfNeeded: status.st_dev), inode: UInt64(status.st_ino))
        isOpenToOthers = status.st_mode & (S_IXGRP | S_IXOTH) != 0
        if opened { return }
        if code == ENOENT { return nil }
        throw CredentialError(.unreadable, source: source, message: String(cString: strerror(code)))
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func isSame(as other: Directory?) -> Bool { place == other?.place }
}

/// Returns bytes without the byte order mark that some editors put in front of UTF-8 text. The mark is not part of a
/// secret or of any format that is read here.
package func withoutByteOrderMark(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
    bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
}

/// Returns text without the byte order mark that some editors put in front of UTF-8 text.
package func withoutByteOrderMark(_ text: String) -> String {
    text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
}
