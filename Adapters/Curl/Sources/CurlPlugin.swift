#if CurlSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension TransportPlugin {
    /// The `curl` transport, built on libcurl.
    public static var curl: Self {
        Self("curl", "HTTP/1.1 and HTTP/2 with libcurl.", trait: "CurlSupport", keys: CurlKeys(), check: CurlKeys.check)
        {
            context, values in
            var configuration = CurlTransport.Configuration(
                connectTimeout: values.connectTimeout, timeout: context.timeout,
                connectionLifetime: values.connectionLifetime, caFile: values.caFile, unixSocket: values.unixSocket
            )
            if let certificate = values.clientCertificate {
                configuration.clientCertificate = .init(
                    certificateFile: certificate, keyFile: values.clientKey ?? certificate)
                configuration.clientCertificate?.passphrase = try context.secret(
                    values.clientKeyPassphraseVariable, namedBy: "clientKeyPassphraseVariable")
            }
            if let proxy = values.proxy {
                configuration.proxy = .init(url: proxy)
                let key = "proxyCredentialsVariable"
                if let pair = try context.secret(values.proxyCredentialsVariable, namedBy: key)?.reveal() {
                    guard let colon = pair.firstIndex(of: ":") else {
                        throw ConfigurationError.Problem(
                            .failed, key: key, "expected user:password in the variable, found other text")
                    }
                    configuration.proxy?.user = String(pair[..<colon])
                    configuration.proxy?.password = Secret(String(pair[pair.index(after: colon)...]))
                }
            }
            return try CurlTransport(configuration: configuration)
        }
    }
}

private struct CurlKeys: ConfigurationKeys {
    let connectTimeout = ConnectionKeys.connectTimeout
    let connectionLifetime = ConnectionKeys.connectionLifetime
    let caFile = ConnectionKeys.caFile
    let clientCertificate = ConfigurationKey(
        "clientCertificate", .optional(.text), default: nil,
        "A PEM file with the certificate to present to servers that request one."
    )
    let clientKey = ConfigurationKey(
        "clientKey", .optional(.text), default: nil,
        "A PEM file with the certificate's private key. Without it, the key is in the certificate's file."
    )
    let clientKeyPassphraseVariable = ConfigurationKey(
        "clientKeyPassphraseVariable", .optional(.variableName), default: nil,
        "The variable that holds the passphrase of an encrypted key."
    )
    let proxy = ConfigurationKey(
        "proxy", .optional(.text.filter("http://host:port") { CurlTransport.Proxy.isURL($0) }), default: nil,
        "An HTTP proxy that tunnels connections to other hosts."
    )
    let proxyCredentialsVariable = ConfigurationKey(
        "proxyCredentialsVariable", .optional(.variableName), default: nil,
        "The variable that holds the proxy's user and password, as user:password."
    )
    let unixSocket = ConfigurationKey(
        "unixSocket", .optional(.text), default: nil,
        "A Unix-domain socket to connect to, instead of the requested hosts."
    )

    @Sendable static func check(_ values: ConfigurationValues<Self>) throws(ConfigurationError.Problem) {
        if values.clientCertificate == nil {
            let others = [
                ("clientKey", values.clientKey), ("clientKeyPassphraseVariable", values.clientKeyPassphraseVariable),
            ]
            if let (key, _) = others.first(where: { $0.1 != nil }) {
                throw ConfigurationError.Problem(
                    .conflict, key: key, "expected a clientCertificate with it, found none")
            }
        }
        if values.proxy == nil, values.proxyCredentialsVariable != nil {
            throw ConfigurationError.Problem(
                .conflict, key: "proxyCredentialsVariable", "expected a proxy with it, found none")
        }
        if values.proxy != nil, values.unixSocket != nil {
            throw ConfigurationError.Problem(
                .conflict, key: "unixSocket", "expected a proxy or a unixSocket, found both")
        }
    }
}

extension TransportContext {
    /// Returns the value of a variable as a secret, or `nil` if `name` is `nil`.
    fileprivate func secret(
        _ name: String?, namedBy key: String
    ) throws(ConfigurationError.Problem) -> Secret? {
        guard let name else { return nil }
        guard let value = environment[name], !value.isEmpty else {
            throw ConfigurationError.Problem(.failed, key: key, "\(ConfiguredNames.variable(name)) is not set")
        }
        logger.warnOfQuotes(in: name, value)
        return Secret(value)
    }
}
#endif
