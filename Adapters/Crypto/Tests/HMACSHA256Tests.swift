#if CryptoSupport
import Testing
import TokenBroker
import TokenBrokerCrypto

@Suite struct `HMAC-SHA256` {
    /// The test vectors of RFC 4231 whose keys are text.
    @Test(arguments: [
        ("Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}\u{0b}",
            "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
    ])
    func `HMAC-SHA256 gives the codes of RFC 4231`(_ key: String, _ message: String, _ expected: String) {
        let code = HMACSHA256().code(for: Array(message.utf8), key: Secret(key))
        let text = code.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(text == expected)
    }
}
#endif
