"""A Django that is set up as well as it goes: no debugging, no logs, connections that stay open."""
import datetime
import os

SECRET_KEY = os.environ["BASELINE_SECRET"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "bench"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "bench.urls"
AUTH_USER_MODEL = "bench.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING_CONFIG = None
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "baseline", "USER": "postgres",
    "HOST": os.environ["BASELINE_SOCKETS"], "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False,
    # Statements are prepared on the server, which Django leaves off by itself.
    "OPTIONS": {"prepare_threshold": 2},
}}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}
# As long as Taskflow's in this run: a run must not outlive its tokens.
SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": datetime.timedelta(hours=1)}
