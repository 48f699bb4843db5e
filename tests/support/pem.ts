/**
 * A certificate and its key, for tests that need no TLS but a configuration that can be read.
 *
 * @module
 */

/** Of relay.example, valid for a hundred years. */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUZlCovnnteqwzjo78FMeMNhMUAKEwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHZXhhbXBsZTAgFw0yNjExMjExMzQ1NDhaGA8yMTI2MTAyODEz
NDU0OFowEjEQMA4GA1UEAwwHZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABLJYBt9rTbAFyCr+62t9tT9p5cycbhsP0UZWt/5Omaq7ZJCk0ktpkgbAp5bQ
ekRrtNQlagINw5yO5/WxujaygRmjbTBrMB0GA1UdDgQWBBSnd9Y82jw1FAAJhlgj
jGlDm7srEzAfBgNVHSMEGDAWgBSnd9Y82jw1FAAJhlgjjGlDm7srEzAPBgNVHRMB
Af8EBTADAQH/MBgGA1UdEQQRMA+CDXJlbGF5LmV4YW1wbGUwCgYIKoZIzj0EAwID
SAAwRQIhAP6KI/CvnyBvc0pDE2S85UYLgkciDID4co0l5k8NIQtlAiA/SxTpqsUc
EpFIaM2cZ7NQbB6CeIy7z4Dtw1fVLwpUrg==
-----END CERTIFICATE-----
`;

/** Its key. */
export const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFVcT2IymxNLTStHL
KK1liyTTukk2rrwN0nCQkABPd0KhRANCAASyWAbfa02wBcgq/utrfbU/aeXMnG4b
D9FGVrf+Tpmqu2SQpNJLaZIGwKeW0HpEa7TUJWoCDcOcjuf1sbo2soEZ
-----END PRIVATE KEY-----
`;

/** The key of another certificate. */
export const otherKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLTcuU7fnh1G5LxCX
9DTSiDIlx1+5IStDvOHid4gKG/+hRANCAATozjCaRXVr75tTsykiHD6bXU9jAvjU
9aDtgva+m4eEQOPCEoa8k2Yie5zSCKnxo+jACh/6L9yGHqE3DUrnFNUc
-----END PRIVATE KEY-----
`;

/** The certificate of that key, which expired in 2026. */
export const expired = `-----BEGIN CERTIFICATE-----
MIIBFjCBvQIUIaMt1XSOhv8gsjCs0kifMS/ci5QwCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDb2xkMB4XDTI2MTEyMTEzNDY1NloXDTI2MTEyMDEzNDY1NlowDjEMMAoG
A1UEAwwDb2xkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6M4wmkV1a++bU7Mp
Ihw+m11PYwL41PWg7YL2vpuHhEDjwhKGvJNmInuc0gip8aPowAof+i/chh6hNw1K
5xTVHDAKBggqhkjOPQQDAgNIADBFAiEAnkr1ihS7iNpEO3X2zAsAYujv7Kxc53vB
t1JyZghUIBACIHTdhCNiERroLY/jq6YH6xMeQ7mBAgztQYladrE9oM7u
-----END CERTIFICATE-----
`;
