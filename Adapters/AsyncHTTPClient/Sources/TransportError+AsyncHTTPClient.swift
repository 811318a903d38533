#if AsyncHTTPClientSupport
import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import TokenBroker

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

extension TransportError {
    /// Maps each of AsyncHTTPClient's errors. This is the only such table.
    ///
    /// Only fixed message texts are kept, because others quote the server.
    init(asyncHTTPClient error: any Error) {
        self =
            switch error {
            case let error as TransportError: error
            case let error as HTTPClientError: Self(Self.code(error), message: error.shortDescription)
            case HTTPParserError.headerOverflow: Self(.tooLarge, message: "the response head is too large")
            case HTTPParserError.invalidEOFState: Self.closed
            case is HTTPParserError: Self(.malformed, message: "the response is not HTTP")
            case let error as NIOConnectionError where error.connectionErrors.isEmpty:
                Self(.resolve, message: "the name has no address")
            case is NIOConnectionError: Self.notConnected
            case let error as NIOSSLError: Self(Self.code(error), message: "the TLS connection failed")
            case let error as NIOSSLExtraError where error == .failedToValidateHostname:
                Self(.trust, message: "the certificate is for another host")
            case is NIOSSLExtraError, is BoringSSLError: Self(.tls, message: "the TLS connection failed")
            case ChannelError.connectTimeout: Self.notConnected
            case is ChannelError: Self.closed
            case let error as IOError: Self.kept.contains(error.errnoCode) ? Self.closed : Self.notConnected
            default: Self(.other, message: "\(type(of: error))")
            }
    }

    private static let closed = Self(.closed, message: "the connection was closed")
    private static let notConnected = Self(.connect, message: "no connection was established")

    /// The error numbers that occur only on an established connection.
    private static let kept = [ECONNRESET, ECONNABORTED, ENOTCONN, EPIPE, ETIMEDOUT]

    private static func code(_ error: HTTPClientError) -> Code {
        switch error {
        case .alreadyShutdown, .cancelled, .requestStreamCancelled: .shutDown
        case .connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout: .connect
        case .deadlineExceeded, .readTimeout, .writeTimeout: .timedOut
        case .remoteConnectionClosed, .uncleanShutdown: .closed
        case .invalidURL, .emptyHost, .emptyScheme, .traceRequestWithBody: .invalidRequest
        default: .other
        }
    }

    private static func code(_ error: NIOSSLError) -> Code {
        switch error {
        case .handshakeFailed(let reason):
            // The reason is available only as the library's own text.
            "\(reason)".contains("CERTIFICATE_VERIFY_FAILED") ? .trust : .tls
        case .unableToValidateCertificate, .noCertificateToValidate: .trust
        case .uncleanShutdown: .closed
        default: .tls
        }
    }
}
#endif
