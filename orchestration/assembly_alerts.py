"""From settings to who is told of failed runs. Opens nothing."""

from __future__ import annotations

from assets.ports.alerts import AlertSink
from orchestration.engines.alert_log import LogSink
from orchestration.settings import Settings


def sinks(settings: Settings) -> list[AlertSink]:
    """The configured sinks, the log first."""
    found: list[AlertSink] = [LogSink()] if settings.alerts.log else []
    if (web := settings.alerts.webhook) is not None:
        from orchestration.engines.alert_webhook import WebhookSink

        found.append(WebhookSink(web.url, web.url_env, web.token_env, web.seconds, web.attempts))
    if (mail := settings.alerts.mail) is not None:
        from orchestration.engines.alert_mail import MailSink

        found.append(
            MailSink(
                mail.host,
                mail.sender,
                mail.to,
                port=mail.port,
                security=mail.security,
                user=mail.user,
                password_env=mail.password_env,
                seconds=mail.seconds,
                attempts=mail.attempts,
            )
        )
    return found
