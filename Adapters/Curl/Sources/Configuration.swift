#if CurlSupport
import FoundationEssentials
public import TokenBroker

extension CurlTransport {
    /// How a transport behaves, for all its requests.
    public struct Configuration: Sendable {
        /// How long establishing a connection may take, name resolution and TLS included.
        public var connectTimeout: Duration
        /// The longest timeout; a request's own counts if it is shorter.
        public var timeout: Duration
        /// How old a connection may be to take another request. Names are resolved anew at least as often, so a server that
        /// has moved is found.
        public var connectionLifetime: Duration
        /// A PEM file with the certificate authorities to trust, instead of the system's.
        public var caFile: String?
        /// What the client shows to servers that ask who it is (mutual TLS); read anew for each connection.
        public var clientCertificate: ClientCertificate?
        /// What reaches other hosts. Requests to this machine never go through it.
        public var proxy: Proxy?
        /// The path of a Unix-domain socket to connect to, whatever the requests' authorities say. Their scheme and host count as ever: `http`
        /// for a loopback host, certificates for the host that is named.
        public var unixSocket: String?
        /// How many connections to one host take requests at a time; further requests wait within their timeouts.
        ///
        /// Connections that have outlived ``connectionLifetime`` finish their requests beside those, which takes no longer than ``timeout``.
        public var maximumConnectionsPerHost: Int
        /// How many connections take requests at a time.
        public var maximumConnections: Int

        /// Takes all members, in their order of declaration.
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

    /// A certificate that the client shows, and the key that proves that it is its own.
    public struct ClientCertificate: Sendable {
        /// A PEM file: the certificate, then those that link it to an authority which the server knows.
        public var certificateFile: String
        /// A PEM file with the private key; it may be the same file.
        public var keyFile: String
        /// For a key that is encrypted.
        public var passphrase: Secret?

        /// Takes all members, in their order of declaration.
        public init(certificateFile: String, keyFile: String, passphrase: Secret? = nil) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.passphrase = passphrase
        }
    }

    /// An HTTP proxy. It sees which hosts are asked, and nothing else: what goes through it is TLS in a tunnel (`CONNECT`).
    public struct Proxy: Sendable {
        /// `http://host:port`, without user and path.
        public var url: String
        /// For a proxy that asks who its user is. Sent to it unencrypted, as this kind of proxy wants it.
        public var user: String?
        /// The user's password.
        public var password: Secret?

        /// Takes all members, in their order of declaration.
        public init(url: String, user: String? = nil, password: Secret? = nil) {
            self.url = url
            self.user = user
            self.password = password
        }

        /// Whether this is the address of a proxy: `http://host:port`, and nothing more.
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
        // libcurl would only say so at the first request.
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
            try require(proxy.password == nil || proxy.user != nil, "the proxy's password needs a user")
            try require(unixSocket == nil, "proxy and unixSocket exclude each other")
        }
        if let unixSocket {
            // The size of sockaddr_un's path, with its end.
            try require((1..<108).contains(unixSocket.utf8.count), "unixSocket must be a path of 1 to 107 bytes")
        }
    }
}
#endif
