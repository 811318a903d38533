#if JWTSupport
import Foundation
import HTTPTypes
import JWTKit
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerJWT
import TokenBrokerTesting

private struct Claims: JWTPayload {
    let iss: IssuerClaim
    let sub: SubjectClaim
    let aud: AudienceClaim
    let jti: IDClaim
    let iat: IssuedAtClaim
    let exp: ExpirationClaim

    func verify(using algorithm: some JWTAlgorithm) throws { try exp.verifyNotExpired() }
}

/// A key that OpenSSL generated, as a user would do it.
private struct Key: CustomTestStringConvertible {
    let testDescription: String
    let algorithm: PEMAssertionSigner.Algorithm?
    let expected: String
    /// The arguments of `openssl genpkey`, or of another command that prints a key.
    let command: String

    static let all = [
        Key("RSA", nil, "RS256", "genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        Key("RSA, PSS", .ps256, "PS256", "genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        Key("RSA, older form", .rs256, "RS256", "genrsa -traditional 2048"),
        Key("P-256", nil, "ES256", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        Key("P-256, older form", nil, "ES256", "ecparam -name prime256v1 -genkey -noout"),
        Key("Ed25519", .edDSA, "EdDSA", "genpkey -algorithm ED25519"),
    ]

    init(_ name: String, _ algorithm: PEMAssertionSigner.Algorithm?, _ expected: String, _ command: String) {
        (testDescription, self.algorithm, self.expected, self.command) = (name, algorithm, expected, command)
    }

    func pem() throws -> (privateKey: String, publicKey: String) {
        let privateKey = try openssl(command, input: "")
        return (privateKey, try openssl("pkey -pubout", input: privateKey))
    }
}

private func openssl(_ arguments: String, input: String) throws -> String {
    let process = Process()
    let (stdin, stdout) = (Pipe(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/openssl")
    process.arguments = arguments.split(separator: " ").map(String.init)
    process.standardInput = stdin
    process.standardOutput = stdout
    process.standardError = FileHandle.nullDevice
    try process.run()
    try stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try stdin.fileHandleForWriting.close()
    let output = stdout.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ToolError(description: "openssl \(arguments) failed") }
    return String(decoding: output, as: UTF8.self)
}

private func verifier(_ algorithm: String, _ pem: String, kid: JWKIdentifier? = nil) async throws -> JWTKeyCollection {
    let keys = JWTKeyCollection()
    switch algorithm {
    case "RS256": await keys.add(rsa: try Insecure.RSA.PublicKey(pem: pem), digestAlgorithm: .sha256, kid: kid)
    case "PS256": await keys.add(pss: try Insecure.RSA.PublicKey(pem: pem), digestAlgorithm: .sha256, kid: kid)
    case "ES256": await keys.add(ecdsa: try ES256PublicKey(pem: pem), kid: kid)
    default: await keys.add(eddsa: try EdDSA.PublicKey(pem: pem), kid: kid)
    }
    return keys
}

private func header(of jwt: String) throws -> JSONValue {
    var part = jwt.prefix { $0 != "." }.replacing("-", with: "+").replacing("_", with: "/")
    while part.count % 4 != 0 { part += "=" }
    return try JSONValue.parse(Array(try #require(Data(base64Encoded: String(part)))))
}

struct PEMAssertionSignerTests {
    private func assertion() -> ClientAssertion {
        ClientAssertion(
            clientID: Secret("client"), audience: "https://vendor.example/oauth/token", id: "an-id",
            issuedAt: Date(timeIntervalSince1970: 1_800_000_000), expiresAt: Date(timeIntervalSince1970: 4_000_000_060)
        )
    }

    private func credential(_ pem: String) -> Credential {
        Credential(clientID: Secret("client"), clientSecret: Secret(pem))
    }

    @Test(arguments: Key.all)
    private func `a signed assertion is verified with the public key`(key: Key) async throws {
        let pem = try key.pem()
        let signer = PEMAssertionSigner(algorithm: key.algorithm, keyID: "key-1")
        let jwt = try await signer.sign(assertion(), with: credential(pem.privateKey)).reveal()
        let claims = try await verifier(key.expected, pem.publicKey, kid: "key-1").verify(jwt, as: Claims.self)
        #expect(claims.iss.value == "client" && claims.sub.value == "client")
        #expect(claims.aud.value == ["https://vendor.example/oauth/token"])
        #expect(claims.jti.value == "an-id")
        #expect(claims.iat.value == Date(timeIntervalSince1970: 1_800_000_000))
        #expect(claims.exp.value == Date(timeIntervalSince1970: 4_000_000_060))
        #expect(try header(of: jwt)["alg"] == .string(key.expected))
        #expect(try header(of: jwt)["kid"] == "key-1")
        let bare = try await PEMAssertionSigner(algorithm: key.algorithm)
            .sign(assertion(), with: credential(pem.privateKey)).reveal()
        #expect(try header(of: bare)["kid"] == nil)
        // A file or a variable may have white space around the key.
        _ = try await signer.sign(assertion(), with: credential("\n" + pem.privateKey + "\n\n"))
    }

    @Test func `a key that cannot sign is reported without its content`() async throws {
        let rsa = try openssl("genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048", input: "")
        let small = try openssl("genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024", input: "")
        let curve = try openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384", input: "")
        let encrypted = try openssl("pkey -aes256 -passout pass:x", input: rsa)
        let publicKey = try openssl("pkey -pubout", input: rsa)
        let cases: [(PEMAssertionSigner.Algorithm?, String)] = [
            (nil, ""), (nil, "a client secret"), (nil, small), (nil, curve), (nil, encrypted), (nil, publicKey),
            (nil, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), (.es256, rsa), (.edDSA, rsa),
        ]
        for (algorithm, pem) in cases {
            let signer = PEMAssertionSigner(algorithm: algorithm)
            let error = await #expect(throws: CredentialError.self) {
                try await signer.sign(assertion(), with: credential(pem))
            }
            #expect(error?.code == .malformed)
            let body = pem.split(separator: "\n").dropFirst().first ?? "client secret"
            #expect(error.map { !"\($0)".contains(body) } == true)
        }
    }

    /// Runs all of step 1 against a vendor that verifies assertions, with a failover to the key that it still knows.
    @Test func `a vendor that verifies assertions grants a token, and a rotated key takes effect`() async throws {
        let (first, second) = (try Key.all[3].pem(), try Key.all[5].pem())
        let seen = Mutex<Set<String>>([])
        let transport = InMemoryTransport { request, body in
            let form = String(decoding: body, as: UTF8.self).split(separator: "&").map {
                $0.split(separator: "=", maxSplits: 1).map(String.init)
            }
            let jwt = form.first { $0.first == "client_assertion" }?.last ?? ""
            let keys = try await verifier("EdDSA", second.publicKey)
            guard let claims = try? await keys.verify(jwt, as: Claims.self),
                claims.aud.value == ["https://vendor.example/oauth/token"],
                seen.withLock({ $0.insert(claims.jti.value).inserted })
            else {
                return .init(
                    head: HTTPResponse(status: .unauthorized), body: Array(#"{"error": "invalid_client"}"#.utf8))
            }
            return .init(head: HTTPResponse(status: .ok), body: Array(#"{"access_token": "granted"}"#.utf8))
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, content) in [
            ("client_id", "client"), ("key.pem", first.privateKey), ("next.pem", second.privateKey),
        ] {
            try Data(content.utf8).write(to: folder.appending(path: name))
        }
        let provider = ClientCredentialsProvider(
            vendor: try Vendor(
                profile: .alternativePayments, baseURL: "https://vendor.example", clientAuthentication: .privateKeyJWT),
            credentials: DirectoryCredentials(
                path: folder.path, names: CredentialNames(clientID: "client_id", clientSecret: "key.pem"),
                secondNames: CredentialNames(clientID: "next_id", clientSecret: "next.pem")
            ),
            assertions: .init(signer: PEMAssertionSigner()), transport: transport
        )
        for _ in 0..<3 {
            #expect(try await provider.token(for: TokenRequest()).secret == Secret("granted"))
        }
        #expect(seen.withLock { $0.count } == 3)
    }
}
#endif
