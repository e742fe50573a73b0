#pragma once

// Keys and JWTs made by other implementations: npm nkeys.js 1.1.0 and @nats-io/jwt 0.0.11, once,
// with
//   createOperator(), createAccount(), createUser(); sign("hello nonce") as base64url
//   encodeOperator("O", operator, {system_account}); encodeAccount("A", account, {limits: {conn: 7,
//   others -1}, signing_keys: [signer], revocations: {user: 1600000000}}, {signer: operator});
//   encodeUser("U", user, signer, {issuer_account, pub: {allow: ["foo.*", "_INBOX.>"], deny:
//   ["foo.secret"]}, sub: {allow: ["bar.> q"]}, resp: {max: 5, ttl: 1000000000}, subs: 10, data:
//   -1, payload: 1024, bearer_token: true, src: ["10.0.0.0/8"], allowed_connection_types:
//   ["STANDARD"], tags: ["role:developer"]}, {exp: 4102444800}); the same with {scopedUser: true}
//   and no more; fmtCreds().
// The keys guard nothing.

#include <string_view>

namespace vectors {

struct Key {
    std::string_view seed, public_key, signature;
};

inline constexpr Key kOperator = {"SOAAH4ODYYABUCMF6DDQ67M4VW2QT7Q4VV2YUYJWB2R2TSYVOAQICL6LXU",
                                  "ODAW7IVXHFMXTKOGT6UR3X7G2SIH2LI5QD2RJ7267ZGRCGTLA3VOMCR6",
                                  "IjD7SQ6Mt4S0BctWZoabQLjVAe88PoTBLPzJuP7Wp23"
                                  "yB8GGvxM9oVGWQeHqxVUAmu4V1OCgvwjHRnzhIt6eBg"};
inline constexpr Key kAccount = {"SAAELHBLWCVY6K6QTETPYYCJTBNE52HV6YBBTLTVX6FV2HBDQTRZXJILS4",
                                 "ACORIKB7CUMPS4C6VC3ESFNR6A2CDBNBWAGSCP5UZFLTNBBONP63YOTB",
                                 "ItG-6Y10W99ifsvxjhWaLYJEfC9vl8To327VV4yomr_"
                                 "s1qxhABGYAvsnosrRYg_Py5QZkdbuew03DuCLIHGVDA"};
inline constexpr Key kUser = {"SUAPGN3WH6UPSCBYBOFMN33WIWCOW6QKY6D3BK52JLGGVHYKV4G3EKRJEY",
                              "UCOXOKZGAR2WR7JL4NTKTTXY2G3FSBXBLOT7ARU53NWN3M4DRQFA4RXS",
                              "Gngl1MMSb41iYxqX8p1ew4PeO-PduXTiIy_gi6DVYDS"
                              "FUeuKwUoNaMncSMK-u5T5cPCu8wdjQaMI_m3MhMwzAw"};
inline constexpr Key kSigner = {"SAAFC3UJ6ZNIZMVOB5ZAAF63LIT3IQUME6ACDWSIGRYT3GIR63PSZQU4GE",
                                "AAS4KHEZOL4XG65JXCVP7HACQX6K4BGETDOX3IRRB7CIT2S47Y2TNKHQ",
                                "Ym2Djqp-c5Mk-KB-xqrxSVV7hWK1IG3_nn7wIJQGrPu"
                                "OmamjJh_ZzXCEfoUis6wJjiLLvdqHpSYqyHYQ88bXDA"};

inline constexpr std::string_view kSignedText = "hello nonce";

inline constexpr std::string_view kOperatorJwt =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJhdWQiOiJOQVRTIiwibmFtZSI6Ik8iLCJzdWI"
    "iOiJPREFXN0lWWEhGTVhUS09HVDZVUjNYN0cyU0lIMkxJNVFEMlJKNzI2N1pHUkNHVExBM1ZPTUNSNiIsIm5hd"
    "HMiOnsic2lnbmluZ19rZXlzIjpbXSwic3lzdGVtX2FjY291bnQiOiJBQ09SSUtCN0NVTVBTNEM2VkMzRVNGTlI"
    "2QTJDREJOQldBR1NDUDVVWkZMVE5CQk9OUDYzWU9UQiIsInR5cGUiOiJvcGVyYXRvciIsInZlcnNpb24iOjJ9L"
    "CJpc3MiOiJPREFXN0lWWEhGTVhUS09HVDZVUjNYN0cyU0lIMkxJNVFEMlJKNzI2N1pHUkNHVExBM1ZPTUNSNiI"
    "sImlhdCI6MTc5NTI1Mjk1OSwianRpIjoiVFRpUGwySDB2K2xRcDZYL2RCdGpiS3NOVDBWT1UzeU9EaFRCZUlKS"
    "3lxR04ycm9UNHlFMW5leEFibVlVK3VnTGxRVVJUZ3pBdVZhV0dkem91YUNaRHc9PSJ9.Cs2oQcNLqEUPGYAIOY"
    "yv2eshv18SDkN_x27Py-XidP_YfjYEq2QFBDubELYRXCI5x9KlFOREQ-l9jiQeX8nNAg";

inline constexpr std::string_view kAccountJwt =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJhdWQiOiJOQVRTIiwibmFtZSI6IkEiLCJzdWI"
    "iOiJBQ09SSUtCN0NVTVBTNEM2VkMzRVNGTlI2QTJDREJOQldBR1NDUDVVWkZMVE5CQk9OUDYzWU9UQiIsIm5hd"
    "HMiOnsibGltaXRzIjp7ImNvbm4iOjcsInN1YnMiOi0xLCJkYXRhIjotMSwicGF5bG9hZCI6LTEsImltcG9ydHM"
    "iOi0xLCJleHBvcnRzIjotMSwibGVhZiI6LTEsIndpbGRjYXJkcyI6dHJ1ZX0sInNpZ25pbmdfa2V5cyI6WyJBQ"
    "VM0S0hFWk9MNFhHNjVKWENWUDdIQUNRWDZLNEJHRVRET1gzSVJSQjdDSVQyUzQ3WTJUTktIUSJdLCJyZXZvY2F"
    "0aW9ucyI6eyJVQ09YT0taR0FSMldSN0pMNE5US1RUWFkyRzNGU0JYQkxPVDdBUlU1M05XTjNNNERSUUZBNFJYU"
    "yI6MTYwMDAwMDAwMH0sInR5cGUiOiJhY2NvdW50IiwidmVyc2lvbiI6Mn0sImlzcyI6Ik9EQVc3SVZYSEZNWFR"
    "LT0dUNlVSM1g3RzJTSUgyTEk1UUQyUko3MjY3WkdSQ0dUTEEzVk9NQ1I2IiwiaWF0IjoxNzk1MjUyOTU5LCJqd"
    "GkiOiJSUVZ6c2kzY1RlNmJyWjRCY1NhUVBNM2FNWXFNbkFyQ1lGbmNTWkJQM0FNZzNsKzNvbkZkMkdIR1V2bUx"
    "WYUE5cW15ZmphWk9HNEhjcG5MeDRpQTN3QT09In0.rdio3J7mFyWMU1EnFszZFeRoqHYrmANpJPLrE3urDTc1g"
    "K7bjJEhXNhkg8zFNQr9s_p1B330saL4qQyfp-4CAA";

inline constexpr std::string_view kUserJwt =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJleHAiOjQxMDI0NDQ4MDAsImF1ZCI6Ik5BVFM"
    "iLCJuYW1lIjoiVSIsInN1YiI6IlVDT1hPS1pHQVIyV1I3Skw0TlRLVFRYWTJHM0ZTQlhCTE9UN0FSVTUzTldOM"
    "000RFJRRkE0UlhTIiwibmF0cyI6eyJkYXRhIjotMSwicGF5bG9hZCI6MTAyNCwic3VicyI6MTAsImlzc3Vlcl9"
    "hY2NvdW50IjoiQUNPUklLQjdDVU1QUzRDNlZDM0VTRk5SNkEyQ0RCTkJXQUdTQ1A1VVpGTFROQkJPTlA2M1lPV"
    "EIiLCJwdWIiOnsiYWxsb3ciOlsiZm9vLioiLCJfSU5CT1guPiJdLCJkZW55IjpbImZvby5zZWNyZXQiXX0sInN"
    "1YiI6eyJhbGxvdyI6WyJiYXIuPiBxIl0sImRlbnkiOltdfSwicmVzcCI6eyJtYXgiOjUsInR0bCI6MTAwMDAwM"
    "DAwMH0sImJlYXJlcl90b2tlbiI6dHJ1ZSwic3JjIjpbIjEwLjAuMC4wLzgiXSwiYWxsb3dlZF9jb25uZWN0aW9"
    "uX3R5cGVzIjpbIlNUQU5EQVJEIl0sInRhZ3MiOlsicm9sZTpkZXZlbG9wZXIiXSwidHlwZSI6InVzZXIiLCJ2Z"
    "XJzaW9uIjoyfSwiaXNzIjoiQUFTNEtIRVpPTDRYRzY1SlhDVlA3SEFDUVg2SzRCR0VURE9YM0lSUkI3Q0lUMlM"
    "0N1kyVE5LSFEiLCJpYXQiOjE3OTUyNTI5NTksImp0aSI6InJjWHAxSEM3dTVnZE9JNTlCVE8yQm0xanpsUldFc"
    "EpvdUJTYllZQk9LdzlDR0xoUWtQUnVIRzBoOXh4amcwUVF6cTR6SFRSWGRTb2NjekxCTlhnQmJnPT0ifQ.ymlM"
    "XNsrVK7CDQQ2je9R2SHO0ymxVUhp7kvPUkPnTZC1mrNnfPL2AUr-DIyMSCbDpkUdHNpnyDfwEwgEWU5VCQ";

inline constexpr std::string_view kScopedUserJwt =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJhdWQiOiJOQVRTIiwibmFtZSI6IlMiLCJzdWI"
    "iOiJVQ09YT0taR0FSMldSN0pMNE5US1RUWFkyRzNGU0JYQkxPVDdBUlU1M05XTjNNNERSUUZBNFJYUyIsIm5hd"
    "HMiOnsiaXNzdWVyX2FjY291bnQiOiJBQ09SSUtCN0NVTVBTNEM2VkMzRVNGTlI2QTJDREJOQldBR1NDUDVVWkZ"
    "MVE5CQk9OUDYzWU9UQiIsInR5cGUiOiJ1c2VyIiwidmVyc2lvbiI6Mn0sImlzcyI6IkFBUzRLSEVaT0w0WEc2N"
    "UpYQ1ZQN0hBQ1FYNks0QkdFVERPWDNJUlJCN0NJVDJTNDdZMlROS0hRIiwiaWF0IjoxNzk1MjUyOTU5LCJqdGk"
    "iOiJwNHBoSmIzSlVma2NtaVpadVM5aUN6ZGhlS1F3SG5IbERRVSs1dEZOYmVXaDE1TjJKT2VRU2NDSWVILzNEV"
    "zFXYUVkSXZkazhCUGM4WUpLekJtL3QzQT09In0.2sT25jj17rMNfVcRvLndf-PCvDvgPa93YxaHqKtsS95Pgtr"
    "KS4i-RGbUB1tV1KTSTMqZSrj58g7dEhhjZdfYDA";

}  // namespace vectors
