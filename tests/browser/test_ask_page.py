"""A person asks, opens a citation, corrects the answer, reloads; what documents and answers hold is shown as text."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.web.fakes import logged
from tests.web.server import Server

pytestmark = pytest.mark.timeout(300)

HOSTILE = "<img src=x onerror=document.title='owned'> <script>document.title='owned'</script> [1] [7] [[1]]"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("ask") / "landing")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def opened(browser, asked):
    contexts = []

    def open(path="/", server=asked, **more):
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **more}))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda m: page.problems.append(m.text) if "Content Security Policy" in m.text else None)
        page.goto(f"http://127.0.0.1:{server.port}{path}")
        return page

    yield open
    for context in contexts:
        context.close()


def ask(page, question):
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    article = page.locator("article").first
    expect(article.get_by_role("button", name="Good answer")).to_be_visible()
    return article


def last(asked):
    return max(logged(asked.folder), key=lambda event: event["received_at"])


def test_person_asks_and_opens_a_citation(opened):
    page = opened()
    expect(page.locator("footer")).to_have_text("Release rel-1")
    article = ask(page, "When does the ferry leave?")
    expect(article.locator(".answer")).to_have_text("The ferry leaves at seven. 1")
    expect(page.locator("footer")).to_have_text(re.compile("Release rel-1.*Index 3-abc.*Adapter ad-1"))
    citation = article.get_by_role("button", name="Source 1: Ferry")
    citation.click()
    panel = page.get_by_role("dialog", name="Ferry")
    expect(panel).to_be_focused()
    for text in ("docs/ferry.md", "2026-11-01", "0123456789ab", "3-abc"):
        expect(panel).to_contain_text(text)
    expect(panel.locator("mark")).to_have_text("The ferry leaves at seven.")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(citation).to_be_focused()
    assert page.problems == []


def test_person_corrects_an_answer_and_finds_it_after_a_reload(opened, asked):
    page = opened()
    article = ask(page, "When does it leave on Sundays?")
    article.get_by_role("button", name="Bad answer").click()
    expect(article.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    article.get_by_role("button", name="Edit the answer").click()
    area = article.get_by_label("The answer as it should be")
    expect(area).to_be_focused()
    expect(area).to_have_value("The ferry leaves at seven. [1]")
    area.fill("It leaves at eight on Sundays. <b>[1]</b>")
    article.get_by_role("button", name="Save").click()
    expect(article.locator(".correction")).to_have_text("It leaves at eight on Sundays. <b>[1]</b>")
    event = last(asked)
    assert (event["prompt"], event["feedback"]) == ("When does it leave on Sundays?", "down")
    assert event["corrected_response"] == "It leaves at eight on Sundays. <b>[1]</b>"
    page.reload()
    article = page.locator("article").first
    expect(article).to_contain_text("When does it leave on Sundays?")
    expect(article.locator(".correction")).to_have_text("It leaves at eight on Sundays. <b>[1]</b>")
    expect(article.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    article.get_by_role("button", name="Bad answer").click()
    expect(article.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")
    assert (last(asked)["feedback"], last(asked)["corrected_response"]) == ("none", event["corrected_response"])


def test_html_of_answers_and_documents_is_text(opened):
    page = opened()
    article = ask(page, f"say {HOSTILE}")
    expect(article.locator(".answer")).to_have_text(HOSTILE.replace("[1]", "1"))
    expect(article.get_by_role("button", name=re.compile("^Source"))).to_have_count(2)  # [7] was not shown
    article.get_by_text("1 more passage was shown").click()
    article.get_by_role("button", name="2. <b>Safe</b>").click()
    panel = page.get_by_role("dialog", name="<b>Safe</b>")
    expect(panel).to_contain_text("<script>document.title='owned'</script>")
    assert page.locator("article img, article script, article b, #panel script, #panel b").count() == 0
    page.reload()
    expect(page.locator("article").first).to_contain_text("onerror=")
    assert page.title() == "Twohands: ask"


def test_several_numbers_in_brackets_are_a_button_each(opened):
    page = opened()
    article = ask(page, "say At seven [ 1; 1 ] or [1, 7] [1]")
    expect(article.locator(".answer")).to_have_text("At seven 1 or [1, 7] 1")  # [7] was not shown
    expect(article.locator(".answer").get_by_role("button", name="Source 1: Ferry")).to_have_count(2)
    assert page.problems == []


def test_answers_that_are_none_are_marked(opened):
    page = opened()
    expect(ask(page, "refuse")).to_contain_text("The documents do not answer this")
    article = ask(page, "fall back")
    expect(article).to_contain_text("The best sentence found, in place of an answer")
    expect(article.locator(".answer")).to_contain_text("Best evidence: The ferry leaves at seven.")


def test_variant_is_chosen_and_remembered(opened, asked):
    page = opened()
    page.get_by_label("Manner").select_option("api")
    page.reload()
    expect(page.get_by_label("Manner")).to_have_value("api")
    ask(page, "When, in JSON?")
    assert last(asked)["variant"] == "api"


def test_problem_is_told_and_the_question_kept(opened):
    page = opened()
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.get_by_label("Your question").fill("When?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(page.get_by_label("Your question")).to_have_value("When?")
    expect(page.locator("article")).to_have_count(0)
    page.unroute("**/v1/chat/completions")
    ask(page, "When?")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_page_is_used_by_keyboard_alone(opened):
    page = opened()
    page.get_by_label("Manner").wait_for()  # it comes with the server's word on its variants
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached == ["skip", "variant", "question", "ask"]
    page.get_by_label("Your question").focus()
    page.keyboard.type("line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    expect(page.get_by_label("Your question")).to_have_value("line one\nline two")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Answer: The ferry leaves at seven.")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Source 1: Ferry")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Close the passage")).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens_need_no_sideways_scrolling(opened, width):
    page = opened(viewport={"width": width, "height": 700})
    article = ask(page, "say " + "Donaudampfschifffahrtsgesellschaftskapitän" * 2 + " [1]")
    article.get_by_role("button", name="Source 1: Ferry").click()
    expect(page.get_by_role("dialog")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colors_follow_the_system_and_can_be_read(opened):
    contrast = """() => {
      const light = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      const luminance = (c) => light(c).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (e) => { let c; for (; e; e = e.parentElement) {
        c = getComputedStyle(e).backgroundColor; if (!c.endsWith(", 0)") && c !== "transparent") return c; } };
      return [...document.querySelectorAll("button, h1, h2, label, footer span, summary, small, .answer")]
        .filter((e) => e.offsetParent && e.textContent.trim()).map((e) => {
          const pair = [luminance(getComputedStyle(e).color), luminance(ground(e))].sort((a, b) => b - a);
          return [(pair[0] + 0.05) / (pair[1] + 0.05), e.tagName + "." + e.className + e.id];
        }).sort((a, b) => a[0] - b[0])[0];
    }"""
    grounds = set()
    for scheme in ("light", "dark"):
        page = opened(color_scheme=scheme)
        ask(page, "When?").get_by_role("button", name="Source 1: Ferry").click()
        worst, where = page.evaluate(contrast)
        assert worst >= 4.5, f"{scheme}: {where}"
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_server_with_tokens_asks_for_one(opened, tmp_path):
    server = Server(tmp_path / "landing")
    server.start(ASK_TOKEN="a-long-token-for-tests")
    try:
        page = opened(server=server)
        field = page.get_by_label("This server asks for a token")
        expect(field).to_be_focused()
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("No valid bearer token")
        field.fill("a-long-token-for-tests")
        page.keyboard.press("Enter")
        expect(field).to_be_hidden()
        article = ask(page, "When?")
        expect(article).not_to_contain_text("more passage")  # the managers' one
        assert last(server)["user"] == "ASK_TOKEN"
    finally:
        server.kill()
