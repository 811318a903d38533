import Foundation

#if canImport(Glibc)
import Glibc
import TokenBrokerTesting
#endif

/// An HTTP/2 server over TLS that misbehaves with its streams. For tests only.
public final class HTTP2Server: Sendable {
    /// The server's reaction to a request.
    public enum Reaction: String, Sendable, CaseIterable {
        /// Ends the connection and reports that the stream was not processed.
        case leavesOut
        /// Ends the connection because of an internal error.
        case fails
        /// Sends half of a response, then does the same as ``leavesOut``.
        case leavesOutMidBody
        /// Resets the stream as not processed.
        case refuses
        /// Resets the stream with an error.
        case resets
        /// Closes the connection.
        case closes
        /// Closes the connection after half of a response.
        case closesMidBody
    }

    /// The port on which it listens, with the trusted servers' certificate.
    public let port: Int
    private let process: ChildProcess
    /// The server's output is discarded, but writing it must not fail.
    private let output = Pipe()

    /// Starts the server.
    /// - Parameter requests: The number of requests that each connection serves before the reaction.
    public init(_ reaction: Reaction, after requests: Int = 0, _ certificates: TLSServers) throws {
        let probe = try RawServer { _ in }
        port = probe.port
        probe.stop()
        process = try ChildProcess(
            "/usr/bin/env",
            [
                "python3", "-c", Self.script, reaction.rawValue, "\(requests)", "\(port)",
                certificates.trustedCertificateFile, certificates.trustedKeyFile,
            ],
            environment: ProcessInfo.processInfo.environment, output: output.fileHandleForWriting.fileDescriptor
        )
        try output.fileHandleForWriting.close()
        // The server prints a line once it listens.
        guard try output.fileHandleForReading.read(upToCount: 1)?.isEmpty == false else {
            throw ToolError(description: "the HTTP/2 server did not start")
        }
    }

    /// Stops the server.
    public func stop() {
        process.terminate()
        process.waitUntilExit()
    }

    private static let script = """
        import socket, ssl, struct, sys, threading
        reaction, answered, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
        context.set_alpn_protocols(["h2"])
        DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7

        def frame(kind, flags, stream, payload=b""):
            return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

        def serve(connection):
            connection = context.wrap_socket(connection, server_side=True)
            stream = connection.makefile("rb")
            connection.sendall(frame(SETTINGS, 0, 0))
            stream.read(24)
            count = 0
            while head := stream.read(9):
                kind, flags, number = head[3], head[4], int.from_bytes(head[5:9], "big")
                stream.read(int.from_bytes(head[:3], "big"))
                if kind == SETTINGS and not flags & 1: connection.sendall(frame(SETTINGS, 1, 0))
                if kind not in (HEADERS, DATA) or not flags & 1: continue
                count += 1
                half = frame(HEADERS, 4, number, b"\\x88") + frame(DATA, 0, number, b"o")
                leaves_out = frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0))
                if count <= answered: connection.sendall(half + frame(DATA, 1, number, b"k"))
                elif reaction == "leavesOut": connection.sendall(leaves_out)
                elif reaction == "fails": connection.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2)))
                elif reaction == "leavesOutMidBody": connection.sendall(half + leaves_out)
                elif reaction == "refuses": connection.sendall(frame(RST_STREAM, 0, number, struct.pack(">I", 7)))
                elif reaction == "resets": connection.sendall(frame(RST_STREAM, 0, number, struct.pack(">I", 2)))
                else:
                    if reaction == "closesMidBody": connection.sendall(half)
                    return connection.shutdown(socket.SHUT_RDWR)

        def guarded(connection):
            try: serve(connection)
            except OSError: pass

        listener = socket.create_server(("127.0.0.1", port), backlog=50)
        print("listening", flush=True)
        while True:
            threading.Thread(target=guarded, args=(listener.accept()[0],), daemon=True).start()
        """
}
