#if ConfigurationSupport
public import TokenBroker

extension PolicyPlugin {
    /// The policy `all`: every one of several policies must allow a request.
    public static var all: Self { combination("all", "Every one of the policies must allow a request.") { AllOf($0) } }
    /// The policy `any`: at least one of several policies must allow a request.
    public static var any: Self {
        combination("any", "At least one of the policies must allow a request.") { AnyOf($0) }
    }

    private static func combination(
        _ id: String, _ summary: String, _ combine: @escaping @Sendable ([any AccessPolicy]) -> any AccessPolicy
    ) -> Self {
        let of = KeyDocumentation(
            name: "of", type: "a map with a policy under each name", defaultText: nil,
            summary: "The policies to combine."
        )
        return Self(id, summary, keys: [of]) { reader, section, registry in
            let section = section + ["of"]
            guard let names = reader.names(in: section) else { return nil }
            let members = names.map { name in
                let kind = reader.read(MemberKeys(registry), in: section + [name])?.kind
                return reader.choice(kind, registry.policies, registry, in: section + [name])
            }
            guard !members.contains(where: { $0 == nil }) else { return nil }
            return { context in
                var policies: [any AccessPolicy] = []
                do throws(ConfigurationError.Problem) {
                    for member in members.compactMap(\.self) {
                        policies.append(try await building { try await member.build(context) })
                    }
                } catch {
                    await shutDown(policies)
                    var problem = error
                    problem.key = (["of", names[policies.count]] + (error.key.map { [$0] } ?? [])).joined(
                        separator: ".")
                    throw problem
                }
                return combine(policies)
            }
        }
    }
}

private struct MemberKeys: ConfigurationKeys {
    let kind: ConfigurationKey<String>
    init(_ registry: Registry) {
        kind = ConfigurationKey("kind", .id(of: registry.policies), "The policy.")
    }
}
#endif
