#if CurlSupport
import CLibcurl
import TokenBroker

extension TransportError {
    /// What each of libcurl's outcomes means: the one table.
    ///
    /// - Parameters:
    ///   - result: Of a finished transfer; not `CURLE_OK`.
    ///   - wasConnecting: Whether a passed time limit was that for connecting, not the request's timeout.
    init(curl result: CURLcode, wasConnecting: Bool) {
        let code: Code =
            switch result {
            case CURLE_URL_MALFORMAT:
                .invalidRequest
            case CURLE_COULDNT_RESOLVE_HOST:
                .resolve
            case CURLE_COULDNT_CONNECT, CURLE_INTERFACE_FAILED, CURLE_NO_CONNECTION_AVAILABLE:
                .connect
            case CURLE_OPERATION_TIMEDOUT:
                wasConnecting ? .connect : .timedOut
            case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR,
                CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CRL_BADFILE:
                .trust
            case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_ENGINE_NOTFOUND,
                CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_SHUTDOWN_FAILED,
                CURLE_SSL_CLIENTCERT, CURLE_USE_SSL_FAILED:
                .tls
            case CURLE_FILESIZE_EXCEEDED:
                .tooLarge
            // The scheme is checked before libcurl sees the request, so what it calls an unsupported protocol is an answer that
            // does not begin with a status line (HTTP/0.9 to libcurl).
            case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING, CURLE_RANGE_ERROR:
                .malformed
            // CURLE_HTTP2 is what libcurl says of a stream that a GOAWAY has left without its connection.
            case CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_HTTP2,
                CURLE_HTTP2_STREAM, CURLE_SEND_FAIL_REWIND:
                .closed
            default:
                .other
            }
        // libcurl's text for the code alone is fixed; its error buffer would quote addresses and certificates.
        self.init(code, message: "libcurl \(result.rawValue), \(String(cString: curl_easy_strerror(result)))")
    }
}
#endif
