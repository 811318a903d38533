#if CommandLineSupport
import CurlTransport
import TokenBrokerComposer
import TokenBrokerCrypto
import TokenBrokerJWT
import TokenBrokerSubprocess

#if AsyncHTTPClientSupport
import TokenBrokerAsyncHTTPClient
#endif

extension Registry {
    /// What the program can choose from: what comes with the composer, and what the adapters bring.
    static let program: Registry = {
        var registry = Registry.standard
        registry.replace(.curl)
        registry.replace(.command)
        registry.replace(.jwt)
        registry.replace(.pem)
        registry.replace(HMACSHA256())
        #if AsyncHTTPClientSupport
        registry.replace(.asyncHTTPClient)
        #endif
        return registry
    }()
}
#endif
