#if !JWTSupport
#if ConfigurationSupport
public import TokenBrokerComposer
#endif

/// Needs the trait `JWTSupport`.
@available(
    *, unavailable,
    message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
)
public struct JWTAuthenticator {}

/// Needs the trait `JWTSupport`.
@available(
    *, unavailable,
    message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
)
public struct JWTKeys {}

/// Needs the trait `JWTSupport`.
@available(
    *, unavailable,
    message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
)
public struct PEMAssertionSigner {}

#if ConfigurationSupport
extension AuthenticatorPlugin {
    /// Needs the trait `JWTSupport`.
    @available(
        *, unavailable,
        message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
    )
    public static var jwt: Self { Self("jwt", "", trait: "JWTSupport") { _ in throw CancellationError() } }
}

extension AssertionSignerPlugin {
    /// Needs the trait `JWTSupport`.
    @available(
        *, unavailable,
        message: "enable the trait JWTSupport where your package depends on token-broker: traits: [\"JWTSupport\"]"
    )
    public static var pem: Self { Self("pem", "", trait: "JWTSupport") { _ in throw CancellationError() } }
}
#endif
#endif
