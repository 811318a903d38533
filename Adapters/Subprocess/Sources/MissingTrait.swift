#if !CommandSupport
#if ConfigurationSupport
public import TokenBrokerComposer
#endif

/// Needs the trait `CommandSupport`.
@available(
    *, unavailable,
    message: "enable the trait CommandSupport where your package depends on token-broker: traits: [\"CommandSupport\"]"
)
public struct CommandCredentials {}

#if ConfigurationSupport
extension CredentialPlugin {
    /// Needs the trait `CommandSupport`.
    @available(
        *, unavailable,
        message:
            "enable the trait CommandSupport where your package depends on token-broker: traits: [\"CommandSupport\"]"
    )
    public static var command: Self { Self("command", "", trait: "CommandSupport") { _ in throw CancellationError() } }
}
#endif
#endif
