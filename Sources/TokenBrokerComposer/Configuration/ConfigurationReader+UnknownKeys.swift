#if ConfigurationSupport
/// Unknown keys and variables.
extension ConfigurationReader {
    /// Records the unknown keys of the file as problems, and warns about unknown variables. Call this method after
    /// everything has been read.
    func finish() {
        check(configuration.root, at: [])
        if configuration.reader != nil { return }
        for name in environment.keys.sorted()
        where name.hasPrefix("TOKEN_BROKER_") && !knownVariables.contains(name) {
            let hint = nearest(to: name, among: knownVariables.sorted()).map { "; did you mean \($0)?" } ?? ""
            warn("the environment variable \(name) overrides no key of this configuration\(hint)")
        }
        problems.sort { ($0.line ?? 0) < ($1.line ?? 0) }
    }

    private func check(_ node: ConfigurationNode, at section: [String]) {
        guard let names = known[section], !opaque.contains(section), !node.isNull else { return }
        guard case .map(let members) = node.content else {
            let expected = names.sorted().joined(separator: ", ")
            return note(
                .invalid, section, node: node,
                "expected a map with the keys \(expected), found \(node.content.kind)"
            )
        }
        for member in members {
            guard !names.contains(member.name) else {
                check(member.value, at: section + [member.name])
                continue
            }
            var node = member.value
            node.line = member.line
            let path = section + [displayed(member.name)]
            let places = places(of: member.name, among: names)
            if !places.isEmpty || looksSecret(member.name),
                nearest(to: member.name, among: names.sorted()) == nil
            {
                let place =
                    places.isEmpty
                    ? "say under \"credentials\" where it is, such as in an environment variable or another file"
                    : "use \(places.joined(separator: " or ")) to say where it is"
                note(
                    .secret, path, node: node,
                    "this looks like a secret, which must not be in this file; \(place)"
                )
            } else {
                note(.unknownKey, path, node: node, unknown(member.name, among: names))
            }
        }
    }

    private func unknown(_ name: String, among names: Set<String>) -> String {
        var message = "expected one of \(names.sorted().joined(separator: ", ")), found an unknown key"
        if let nearest = nearest(to: name, among: names.sorted()) {
            message += "; did you mean \(nearest)?"
        } else if let section = known.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }).first(where: {
            !$0.isEmpty && known[$0]?.contains(name) == true
        }) {
            message += "; did you mean \((section + [name]).joined(separator: "."))?"
        }
        return message
    }

    private func looksSecret(_ name: String) -> Bool {
        let plain = plain(name)
        return ["secret", "password", "passphrase", "apikey", "privatekey", "accesstoken", "bearer", "clientid"]
            .contains { plain.contains($0) }
    }

    /// Returns the keys of the same section that say where to find the secret that `name` seems to hold, such as
    /// `secretFile` and `secretVariable` for `secret` and `sharedSecret`.
    private func places(of name: String, among names: Set<String>) -> [String] {
        let name = plain(name)
        return names.sorted().filter { key in
            guard let suffix = ["File", "Variable"].first(where: key.hasSuffix) else { return false }
            let stem = plain(String(key.dropLast(suffix.count)))
            let isSecret = ["secret", "passphrase", "token", "credentials", "key"].contains { stem.hasSuffix($0) }
            return isSecret && (name == stem || looksSecret(name) && (name.contains(stem) || stem.contains(name)))
        }
    }

    private func plain(_ name: String) -> String { name.lowercased().filter { $0.isLetter } }
}
#endif
