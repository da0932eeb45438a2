"""User-Agent headers of real browsers: what each is taken for and called, and how it opens the BankID app."""

from typing import NamedTuple

APP_LINK = "universal or app link"
SCHEME = "the app's own scheme"
DESKTOP = "the app's own scheme, which comes back by itself"

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {WEBKIT}"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK}"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {BLINK}"


class Seen(NamedTuple):
    user_agent: str
    taken_for: str  # kind, platform, browser
    browser_name: str | None
    system_name: str | None
    link: str


REAL_BROWSERS: list[Seen] = [
    # Computers
    Seen(
        f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36", "computer windows chrome", "Chrome", "Windows", DESKTOP
    ),
    Seen(
        f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36 Edg/130.0.2849.68",
        "computer windows edge",
        "Edge",
        "Windows",
        DESKTOP,
    ),
    Seen(
        f"{WINDOWS} Chrome/128.0.0.0 Safari/537.36 OPR/114.0.0.0",
        "computer windows opera",
        "Opera",
        "Windows",
        DESKTOP,
    ),
    Seen(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "computer windows firefox",
        "Firefox",
        "Windows",
        DESKTOP,
    ),
    Seen(
        "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
        "computer windows other",
        None,
        "Windows",
        DESKTOP,
    ),
    Seen(f"{MAC} Version/18.1 Safari/605.1.15", "computer macos safari", "Safari", "Mac", DESKTOP),
    Seen(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:132.0) Gecko/20100101 Firefox/132.0",
        "computer macos firefox",
        "Firefox",
        "Mac",
        DESKTOP,
    ),
    Seen(
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {BLINK} Chrome/130.0.0.0 Safari/537.36",
        "computer macos chrome",
        "Chrome",
        "Mac",
        DESKTOP,
    ),
    Seen(
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "computer linux firefox",
        "Firefox",
        "Linux",
        DESKTOP,
    ),
    Seen(
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/130.0.0.0 Safari/537.36",
        "computer chromeos chrome",
        "Chrome",
        "ChromeOS",
        DESKTOP,
    ),
    # iPhone and iPad
    Seen(
        f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1", "phone ios safari", "Safari", "iPhone", APP_LINK
    ),
    Seen(
        f"{IPHONE} CriOS/130.0.6723.90 Mobile/15E148 Safari/604.1",
        "phone ios chrome",
        "Chrome",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} FxiOS/132.0 Mobile/15E148 Safari/605.1.15",
        "phone ios firefox",
        "Firefox",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Version/18.0 EdgiOS/130.0.2849.68 Mobile/15E148 Safari/604.1",
        "phone ios edge",
        "Edge",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1 OPT/5.0.6",
        "phone ios opera",
        "Opera",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} OPiOS/16.0.15.124050 Mobile/15E148 Safari/9537.53",
        "phone ios other",
        None,
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Version/18.1 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15",
        "phone ios duckduckgo",
        "DuckDuckGo",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Version/18.1 Mobile/15E148 Safari/605.1.15 Ddg/18.1",
        "phone ios duckduckgo",
        "DuckDuckGo",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} GSA/342.0.693598186 Mobile/15E148 Safari/604.1",
        "phone ios in_app",
        None,
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Mobile/22B83 [FBAN/FBIOS;FBAV/488.0.0.70.113;FBBV/655921212;FBDV/iPhone15,2]",
        "phone ios in_app",
        None,
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Mobile/22B83 Instagram 356.0.0.28.92 (iPhone15,2; iOS 18_1; sv_SE; sv)",
        "phone ios in_app",
        None,
        "iPhone",
        APP_LINK,
    ),
    Seen(f"{IPHONE} Mobile/15E148", "phone ios other", None, "iPhone", APP_LINK),
    Seen(
        f"Mozilla/5.0 (iPad; CPU OS 12_5_7 like Mac OS X) {WEBKIT} Version/12.1.2 Mobile/15E148 Safari/604.1",
        "tablet ios safari",
        "Safari",
        "iPad",
        APP_LINK,
    ),
    Seen(f"{MAC} CriOS/130 Version/11.1.1 Safari/605.1.15", "tablet ios chrome", "Chrome", "iPad", APP_LINK),
    # Android
    Seen(
        f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36",
        "phone android chrome",
        "Chrome",
        "Android",
        APP_LINK,
    ),
    Seen(
        f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36 EdgA/130.0.0.0",
        "phone android edge",
        "Edge",
        "Android",
        APP_LINK,
    ),
    Seen(
        f"{ANDROID} SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
        "phone android samsung",
        "Samsung Internet",
        "Android",
        SCHEME,
    ),
    Seen(
        f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36 OPR/85.0.0.0",
        "phone android opera",
        "Opera",
        "Android",
        SCHEME,
    ),
    Seen(
        "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0",
        "phone android firefox",
        "Firefox",
        "Android",
        SCHEME,
    ),
    Seen(f"{ANDROID} Chrome/130.0.0.0 Safari/537.36", "tablet android chrome", "Chrome", "Android", APP_LINK),
    Seen(
        f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} SamsungBrowser/26.0 Chrome/122.0.0.0 Safari/537.36",
        "tablet android samsung",
        "Samsung Internet",
        "Android",
        SCHEME,
    ),
    Seen(
        f"Mozilla/5.0 (Linux; Android 12; NOH-NX9) {BLINK} Chrome/114.0 HuaweiBrowser/15.0.4 "
        "Mobile Safari/537.36",
        "phone android other",
        None,
        "Android",
        SCHEME,
    ),
    Seen(
        f"Mozilla/5.0 (Linux; Android 14; SM-S911B Build/UP1A; wv) {BLINK} Version/4.0 "
        "Chrome/130.0.6723.86 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/488.0.0.70.79;]",
        "phone android in_app",
        None,
        "Android",
        APP_LINK,
    ),
    Seen(
        f"{ANDROID} Chrome/130.0.0.0 Mobile DuckDuckGo/5 Safari/537.36",
        "phone android duckduckgo",
        "DuckDuckGo",
        "Android",
        SCHEME,
    ),
    # Neither
    Seen("", "unknown other other", None, None, DESKTOP),
    Seen("curl/8.5.0", "unknown other other", None, None, DESKTOP),
    # Told apart by what is easily overlooked
    Seen(
        "Mozilla/5.0 (Linux; U; Android 4.0.3; sv-se; GT-I9100) AppleWebKit/534.30 (KHTML, like Gecko) "
        "Version/4.0 Mobile Safari/534.30",
        "phone android other",
        None,
        "Android",
        SCHEME,
    ),
    Seen(
        f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36 Vivaldi/7.0",
        "computer windows other",
        None,
        "Windows",
        DESKTOP,
    ),
    Seen(
        f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1 OPX/2.6",
        "phone ios opera",
        "Opera",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"{IPHONE} Version/18.1 Brave/1 Mobile/15E148 Safari/604.1",
        "phone ios brave",
        "Brave",
        "iPhone",
        APP_LINK,
    ),
    Seen(
        f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} HeadlessChrome/130.0.0.0 Safari/537.36",
        "computer linux chrome",
        "Chrome",
        "Linux",
        DESKTOP,
    ),
    Seen(
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "computer linux firefox",
        "Firefox",
        "Linux",
        DESKTOP,
    ),
    Seen("<script>alert(1)</script>", "unknown other other", None, None, DESKTOP),
]
