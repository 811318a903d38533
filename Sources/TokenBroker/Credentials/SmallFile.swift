#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A regular file, read whole through one descriptor, so that content and mode are of the same file even while it is being
/// replaced. The system's calls are used because nothing above them opens without blocking on a pipe.
package struct SmallFile {
    package let bytes: [UInt8]
    package let isReadableByOthers: Bool
    let identity: FileIdentity

    /// `nil` if there is no such file.
    package init?(path: String, maximumBytes: Int, source: String) throws(CredentialError) {
        try self.init(path: path, in: AT_FDCWD, maximumBytes: maximumBytes, source: source)
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
        self.bytes = bytes
        self.isReadableByOthers = status.st_mode & (S_IRWXG | S_IRWXO) != 0
        self.identity = FileIdentity(status)
    }
}

/// Which file it is, and in which state. A file that is written to has another one afterwards, whatever its time of
/// modification is set to, since nobody sets the time of its last change.
struct FileIdentity: Equatable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int64
    private let change: [Int]

    init(_ status: stat) {
        device = UInt64(truncatingIfNeeded: status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        #if canImport(Darwin)
        change = [status.st_ctimespec.tv_sec, status.st_ctimespec.tv_nsec]
        #else
        change = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
        #endif
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
    private let device: UInt64
    private let inode: UInt64

    /// `nil` if there is none.
    /// - Parameter directory: A descriptor that a relative path starts from, instead of the working directory.
    init?(path: String, in directory: Int32 = AT_FDCWD, source: String) throws(CredentialError) {
        descriptor = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        var status = stat()
        let opened = descriptor >= 0 && fstat(descriptor, &status) == 0
        let code = errno
        device = UInt64(truncatingIfNeeded: status.st_dev)
        inode = UInt64(status.st_ino)
        isOpenToOthers = status.st_mode & (S_IXGRP | S_IXOTH) != 0
        if opened { return }
        if code == ENOENT { return nil }
        throw CredentialError(.unreadable, source: source, message: String(cString: strerror(code)))
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func isSame(as other: Directory?) -> Bool { device == other?.device && inode == other?.inode }
}
