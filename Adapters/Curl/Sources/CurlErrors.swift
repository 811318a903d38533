#if CurlSupport
import CLibcurl
import TokenBroker

extension TransportError {
    /// Maps each of libcurl's results. This is the only such table.
    ///
    /// - Parameters:
    ///   - result: The result of a finished transfer, other than `CURLE_OK`.
    ///   - wasConnecting: Whether the timeout that expired was the connect timeout rather than the request's timeout.
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
            // The scheme is checked before libcurl sees the request. What libcurl calls an unsupported protocol is
            // therefore a response that does not begin with a status line (HTTP/0.9 to libcurl).
            case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING, CURLE_RANGE_ERROR:
                .malformed
            // libcurl reports CURLE_HTTP2 for a stream whose connection a GOAWAY has ended.
            case CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_HTTP2,
                CURLE_HTTP2_STREAM, CURLE_SEND_FAIL_REWIND:
                .closed
            default:
                .other
            }
        // curl_easy_strerror returns a fixed text. libcurl's error buffer would quote addresses and certificates.
        self.init(code, message: "libcurl \(result.rawValue), \(String(cString: curl_easy_strerror(result)))")
    }
}
#endif
