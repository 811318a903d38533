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

    /// `nil` if there is no such file.
    package init?(path: String, maximumBytes: Int, source: String) throws(CredentialError) {
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
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
    }
}
