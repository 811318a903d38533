import FoundationEssentials

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A regular file, read whole through one descriptor, so that content and mode are of the same file even while it is
/// being replaced. The system's calls are used because nothing above them opens without blocking on a pipe.
package struct SmallFile {
    package let bytes: [UInt8]
    package let isReadableByOthers: Bool
    let identity: FileIdentity

    /// `nil` if there is no such file.
    /// - Parameter isAtRest: Whether to wait until it has not changed for a tenth of a second, and throw if it does
    ///   not come to rest: a file that is being written would be read half. The calling thread waits, which happens
    ///   right after a change only.
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

    /// How long it would have to stay unchanged from now on to have been so for a tenth of a second.
    var remainingRest: Duration { max(.zero, .milliseconds(100) - identity.age) }

    static func restless(_ source: String) -> CredentialError {
        CredentialError(.unreadable, source: source, message: "it is being written again and again")
    }

    /// - Parameter directory: A descriptor that a relative path starts from.
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

/// Which file it is, and in which state. A file that is written to has another one afterwards, whatever its time of
/// modification is set to, since nobody sets the time of its last change.
struct FileIdentity: Equatable {
    /// Where it is kept, whatever is in it.
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
        // Two numbers, seconds and nanoseconds. They are not read by name, since which module a `timespec` is from depends on what else is
        // compiled in the same batch, and none but the right one may be imported for it.
        change = withUnsafeBytes(of: time) { Array($0.bindMemory(to: Int.self)) }
    }

    /// For how long it has been so, by its own time of change; zero if that cannot be told, since the clocks differ.
    var age: Duration {
        guard change.count == 2 else { return .zero }
        let now = Duration.seconds(Date().timeIntervalSince1970)
        return max(.zero, now - .seconds(change[0]) - .nanoseconds(change[1]))
    }

    /// `nil` if there is none.
    init?(path: String, in directory: Int32) {
        var status = stat()
        guard fstatat(directory, path, &status, 0) == 0 else { return nil }
        self.init(status)
    }
}

/// An open directory: what is read through it is of that one, even after another has taken its place.
final class Directory {
    let descriptor: Int32
    /// Whether others than its owner get at the files in it.
    let isOpenToOthers: Bool
    let place: FileIdentity.Place

    /// `nil` if there is none.
    /// - Parameter directory: A descriptor that a relative path starts from, instead of the working directory.
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

/// Without the mark that some editors put in front of UTF-8 text. It is no part of a secret, nor of any format that
/// is read here.
package func withoutByteOrderMark(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
    bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
}

/// Without the mark that some editors put in front of UTF-8 text.
package func withoutByteOrderMark(_ text: String) -> String {
    text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
}
