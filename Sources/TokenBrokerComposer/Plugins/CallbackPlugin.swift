#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// The policy `callback`: a service of your own decides.
    public static var callback: Self {
        Self(
            "callback", "A service of your own decides.", keys: CallbackKeys(),
            check: { (values) throws(ConfigurationError.Problem) in
                try SharedSecretKeys.check(values.secretFile, values.secretVariable)
            }
        ) { context, values in
            let policy = CallbackPolicy(
                url: values.url, transport: context.transport,
                secrets: try SharedSecretKeys.secrets(values.secretFile, values.secretVariable, context),
                timeout: values.timeout, logger: context.logger
            )
            return policy.caching(for: values.cacheFor, clock: context.clock)
        }
    }
}

private struct CallbackKeys: ConfigurationKeys {
    let url = ConfigurationKey("url", .url, "The URL of the service, which receives POST requests.")
    let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(2), "The timeout of one call.")
    let cacheFor = ConfigurationKey(
        "cacheFor", .duration(.zero ... .seconds(60)), default: .seconds(5), "How long a decision is cached.")
    let secretFile = SharedSecretKeys.file()
    let secretVariable = SharedSecretKeys.variable()
}
#endif
