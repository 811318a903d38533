#if CurlSupport
import FoundationEssentials
public import TokenBroker

extension CurlTransport {
    /// The settings of a transport, which apply to all its requests.
    public struct Configuration: Sendable {
        /// How long establishing a connection may take, including name resolution and TLS.
        public var connectTimeout: Duration
        /// The maximum timeout of a request. A request's own timeout applies if it is shorter.
        public var timeout: Duration
        /// The maximum age at which a connection takes another request.
        ///
        /// Names are resolved again at least this often, so a server that has moved is found.
        public var connectionLifetime: Duration
        /// A PEM file with the certificate authorities to trust instead of the system's.
        public var caFile: String?
        /// The certificate to present to servers that request one (mutual TLS). It is read again for each connection.
        public var clientCertificate: ClientCertificate?
        /// The HTTP proxy for requests to other hosts. Requests to this machine never go through it.
        public var proxy: Proxy?
        /// The path of a Unix-domain socket to connect to, whatever the requests' authorities say.
        ///
        /// The scheme and host of a request keep their meaning: `http` requires a loopback host, and certificates must
        /// be for the host that is named.
        public var unixSocket: String?
        /// The number of connections to one host that take requests at a time. Further requests wait, within their
        /// timeouts.
        ///
        /// Connections that have outlived ``connectionLifetime`` are not counted. They finish their requests, which
        /// takes no longer than ``timeout``.
        public var maximumConnectionsPerHost: Int
        /// The maximum number of connections, to all hosts together, that take requests at the same time.
        public var maximumConnections: Int

        /// Creates a configuration.
        public init(
            connectTimeout: Duration = .seconds(3), timeout: Duration = .seconds(10),
            connectionLifetime: Duration = .seconds(300), caFile: String? = nil,
            clientCertificate: ClientCertificate? = nil, proxy: Proxy? = nil, unixSocket: String? = nil,
            maximumConnectionsPerHost: Int = 64, maximumConnections: Int = 256
        ) {
            self.connectTimeout = connectTimeout
            self.timeout = timeout
            self.connectionLifetime = connectionLifetime
            self.caFile = caFile
            self.clientCertificate = clientCertificate
            self.proxy = proxy
            self.unixSocket = unixSocket
            self.maximumConnectionsPerHost = maximumConnectionsPerHost
            self.maximumConnections = maximumConnections
        }
    }

    /// A client certificate and its private key.
    public struct ClientCertificate: Sendable {
        /// A PEM file with the certificate, followed by those that link it to an authority that the server trusts.
        public var certificateFile: String
        /// A PEM file with the private key. It may be the same file.
        public var keyFile: String
        /// The passphrase of an encrypted key.
        public var passphrase: Secret?

        /// Creates a client certificate.
        public init(certificateFile: String, keyFile: String, passphrase: Secret? = nil) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.passphrase = passphrase
        }
    }

    /// An HTTP proxy. It learns which hosts are contacted and nothing else, because all traffic through it is TLS in a
    /// tunnel (`CONNECT`).
    public struct Proxy: Sendable {
        /// The proxy's URL, `http://host:port` without a user or path.
        public var url: String
        /// The user name, for a proxy that requires one. It is sent to the proxy unencrypted, as this kind of proxy
        /// requires.
        public var user: String?
        /// The password. It is sent to the proxy unencrypted, like ``user``.
        public var password: Secret?

        /// Creates a proxy.
        public init(url: String, user: String? = nil, password: Secret? = nil) {
            self.url = url
            self.user = user
            self.password = password
        }

        /// Returns whether a text is the URL of a proxy: `http://host:port`, and nothing more.
        package static func isURL(_ text: String) -> Bool {
            guard text.hasPrefix("http://") else { return false }
            return Authority(text.dropFirst("http://".count))?.port != nil
        }
    }
}

extension CurlTransport.Configuration {
    func validate() throws(TransportError) {
        func require(_ condition: Bool, _ message: String) throws(TransportError) {
            guard condition else { throw TransportError(.other, message: message) }
        }
        // libcurl would report these problems only at the first request.
        func requirePEM(_ path: String?, _ name: String, _ content: String) throws(TransportError) {
            guard let path else { return }
            let file: SmallFile?
            do {
                file = try SmallFile(path: path, maximumBytes: 16 << 20, source: name)
            } catch {
                throw TransportError(
                    .other, message: "\(name) cannot be read: \(ConfiguredNames.file(path)): \(error.message)")
            }
            guard let file else {
                throw TransportError(.other, message: "\(name) cannot be read: \(ConfiguredNames.file(path))")
            }
            try require(
                file.bytes.firstRange(of: "-----BEGIN ".utf8) != nil,
                "\(name) has no \(content) in PEM form: \(ConfiguredNames.file(path))")
        }
        try require(connectTimeout > .zero, "connectTimeout must be positive")
        try require(timeout > .zero, "timeout must be positive")
        try require(connectionLifetime > .zero, "connectionLifetime must be positive")
        try require(maximumConnectionsPerHost > 0, "maximumConnectionsPerHost must be positive")
        try require(maximumConnections > 0, "maximumConnections must be positive")
        try requirePEM(caFile, "caFile", "certificate")
        try requirePEM(clientCertificate?.certificateFile, "clientCertificate", "certificate")
        try requirePEM(clientCertificate?.keyFile, "clientKey", "private key")
        if let proxy {
            try require(CurlTransport.Proxy.isURL(proxy.url), "proxy must be http://host:port")
            try require(proxy.user?.contains(":") != true, "the proxy's user must not contain a colon")
            try require(proxy.password == nil || proxy.user != nil, "the proxy's password requires a user")
            try require(unixSocket == nil, "proxy and unixSocket are mutually exclusive")
        }
        if let unixSocket {
            // The size of sockaddr_un's path, including its terminator.
            try require((1..<108).contains(unixSocket.utf8.count), "unixSocket must be a path of 1 to 107 bytes")
        }
    }
}
#endif
