#if ConfigurationSupport
import TokenBroker

extension Registry {
    /// The registry of the plug-ins that need no other library.
    ///
    /// It also knows the ids of the plug-ins that adapters provide, so that the error for a missing one says how to add
    /// it.
    public static let standard: Registry = {
        var registry = Registry()
        registry.replace(.environment)
        registry.replace(.file)
        registry.replace(.directory)
        registry.replace(.vault)
        registry.replace(.alternativePayments)
        registry.replace(.forwarded)
        registry.replace(.claim)
        registry.replace(.callback)
        registry.replace(.vendorInvoice)
        registry.replace(.all)
        registry.replace(.any)
        registry.replace(
            TransportPlugin(
                "curl", "HTTP/1.1 and HTTP/2 with libcurl.", trait: "CurlSupport", from: "CurlTransport", as: "curl")
        )
        registry.replace(
            TransportPlugin(
                "async-http-client", "HTTP/1.1 with AsyncHTTPClient.", trait: "AsyncHTTPClientSupport",
                from: "TokenBrokerAsyncHTTPClient", as: "asyncHTTPClient")
        )
        registry.replace(
            CredentialPlugin(
                "command", "Credentials that a program prints.", trait: "CommandSupport",
                from: "TokenBrokerSubprocess", as: "command")
        )
        registry.replace(
            AssertionSignerPlugin(
                "pem", "Signs with a private key in PEM form.", trait: "JWTSupport", from: "TokenBrokerJWT", as: "pem")
        )
        registry.replace(
            AuthenticatorPlugin(
                "jwt", "A signed JSON Web Token.", trait: "JWTSupport", from: "TokenBrokerJWT", as: "jwt")
        )
        registry.replace(
            FleetStorePlugin(
                "redis", "A Redis server, alone or with Sentinels.", trait: "RedisSupport", from: "TokenBrokerRedis",
                as: "redis")
        )
        return registry
    }()
}

extension Plugin {
    /// Creates a placeholder for a plug-in that an adapter provides.
    fileprivate init(
        _ id: String, _ summary: String, trait: String, from module: String, as name: String
    ) {
        self.init(
            id, summary, trait: trait,
            remedy: "\(id) needs the trait \(trait) and, in a program of your own, `import \(module)` and "
                + "`try registry.register(.\(name))`"
        )
    }
}
#endif
