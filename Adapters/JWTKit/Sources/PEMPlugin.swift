#if JWTSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension AssertionSignerPlugin {
    /// The `pem` signer, which uses a private key in PEM form.
    public static var pem: Self {
        Self(
            "pem", "Signs with a private key in PEM form, which takes the place of the client secret.",
            trait: "JWTSupport", keys: PEMKeys()
        ) { _, values in PEMAssertionSigner(algorithm: values.algorithm, keyID: values.keyID) }
    }
}

private struct PEMKeys: ConfigurationKeys {
    let algorithm = ConfigurationKey(
        "algorithm", .optional(algorithmName), default: nil,
        "The signature algorithm. By default RS256 for RSA, ES256 for P-256 and EdDSA for Ed25519."
    )
    let keyID = ConfigurationKey("keyID", .optional(.text), default: nil, "The `kid` in the header of an assertion.")

    private static let algorithmName = ConfigurationType.choice(
        PEMAssertionSigner.Algorithm.allCases.map(\.rawValue)
    )
    .map("RS256, PS256, ES256 or EdDSA", text: { $0.rawValue }, { PEMAssertionSigner.Algorithm(rawValue: $0) })
}
#endif
