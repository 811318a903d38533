#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// `callback`: a service of the deployment's own decides.
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
    let url = ConfigurationKey("url", .url, "Where to ask, with POST.")
    let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(2), "For one call.")
    let cacheFor = ConfigurationKey(
        "cacheFor", .duration(.zero ... .seconds(60)), default: .seconds(5), "How long an answer holds.")
    let secretFile = SharedSecretKeys.file()
    let secretVariable = SharedSecretKeys.variable()
}
#endif
