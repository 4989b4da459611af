from django.urls import path
from rest_framework_simplejwt.views import TokenObtainPairView

from .views import TaskDetail, TaskList

urlpatterns = [
    path("api/account/login/", TokenObtainPairView.as_view()),
    path("api/project/tasks/", TaskList.as_view()),
    path("api/project/tasks/<int:pk>/", TaskDetail.as_view()),
]
