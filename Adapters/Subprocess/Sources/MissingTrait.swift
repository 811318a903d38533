#if !CommandSupport
/// Needs the trait `CommandSupport`.
@available(
    *, unavailable,
    message: "enable the trait CommandSupport where your package depends on token-broker: traits: [\"CommandSupport\"]"
)
public struct CommandCredentials {}
#endif
