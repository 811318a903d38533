#if CommandLineSupport
import CurlTransport
import TokenBrokerComposer
import TokenBrokerCrypto
import TokenBrokerJWT
import TokenBrokerRedis
import TokenBrokerSubprocess

#if AsyncHTTPClientSupport
import TokenBrokerAsyncHTTPClient
#endif

extension Registry {
    /// The registry of the program: the plug-ins of the composer and those of the adapters.
    static let program: Registry = {
        var registry = Registry.standard
        registry.replace(.curl)
        registry.replace(.command)
        registry.replace(.jwt)
        registry.replace(.pem)
        registry.replace(HMACSHA256())
        registry.replace(.redis)
        registry.replaceSealing { try FleetSealing(keys: $0) }
        #if AsyncHTTPClientSupport
        registry.replace(.asyncHTTPClient)
        #endif
        return registry
    }()
}
#endif
